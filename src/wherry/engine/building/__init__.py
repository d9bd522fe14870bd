"""Running a build's steps: in shims and under limits as containers, without a record or a name.

Nothing of a step is in the database, and nothing in the folder of containers. So a daemon that
finds a step's shim or its snapshot after a crash takes it for what it is, a stranger, and ends and
removes it (`engine.recovery`).
"""
