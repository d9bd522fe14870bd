"""Tar archives, read and written as streams. Light to import: a confined extractor does.

with open(path, "rb") as stream:
    for entry, data in read_tar(stream):
        if entry.kind == FILE:
            data.copy_to(fd)
"""

from wherry.layers.tar.entry import (
    BLOCK_DEVICE,
    CHAR_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Entry,
    Kind,
    Segment,
)
from wherry.layers.tar.reader import TarReader, read_tar
from wherry.layers.tar.source import FileSource, Readable
from wherry.layers.tar.writer import TarWriter, Writable, encode

__all__ = [
    "BLOCK_DEVICE",
    "CHAR_DEVICE",
    "DIRECTORY",
    "FIFO",
    "FILE",
    "HARDLINK",
    "SYMLINK",
    "Entry",
    "FileSource",
    "Kind",
    "Readable",
    "Segment",
    "TarReader",
    "TarWriter",
    "Writable",
    "encode",
    "read_tar",
]
