"""The options of `wherry run` and `wherry create`, and the create request made of them."""
