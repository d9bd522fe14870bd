"""Wherry: a container engine in Python that Docker's clients talk to unchanged.

Importing this package imports nothing else: the command line starts in milliseconds.
"""

__version__ = "0.1.0"
