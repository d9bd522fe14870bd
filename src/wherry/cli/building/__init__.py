"""`wherry build`: what to send, how its progress looks, and where its results go."""
