"""Snapshots: layers kept for mounting, and writable file systems on stacks of them.

Read `protocol.py` first: the docstring of `Snapshotter` is the tutorial of this room.
"""
