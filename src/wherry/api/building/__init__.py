"""`POST /build`: what a client asks for, and the two forms in which a build tells what it does."""
