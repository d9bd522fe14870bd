"""Images from Dockerfiles: the language, contexts, and the graph that is solved."""
