"""Docker's patterns of files to be left out: those of .dockerignore and of `COPY --exclude`.

    patterns = Patterns.parse(b"*\\n!src\\n**/*.pyc\\n")
    patterns.matches("src/main.py")     # False: it stays
    patterns.matches("notes.txt")       # True: it is ignored

The daemon filters contexts by them and the client what it sends; so this imports next to nothing.
"""

from wherry.ignore.patterns import MATCHED, Patterns

__all__ = ["MATCHED", "Patterns"]
