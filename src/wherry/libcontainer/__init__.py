"""From a bundle to a process: the OCI runtime.

`create.create` forks a container's first process out of a specification; `init` is what happens
in that process until it executes the user's program. Nothing here knows images, daemons or HTTP.
"""
