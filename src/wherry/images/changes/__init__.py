"""Changes of an image's configuration, as `docker import --change` and `docker commit` take them.

They are instructions of the Dockerfile language, of those kinds that need no container.

    lines.py         text to instructions: continued lines, comments, flags
    words.py         an instruction's words: quotes, escapes, `$NAME`, JSON's arrays
    configure.py     what each instruction does to the configuration
    health.py        HEALTHCHECK
    ports.py         EXPOSE
"""

from wherry.images.changes.configure import apply_changes

__all__ = ["apply_changes"]
