"""Processes between the daemon and a container: launcher, shim, and the wire to them.

`runtime` is the daemon's side and the only file here that knows asyncio; the rest runs in small
forked processes that import nothing after they have begun.
"""
