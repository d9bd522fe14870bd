"""A data root whose daemon does not run: verified, mended, moved to another storage driver.

    root.py        the stores, opened without an engine
    checking.py    every byte that has a digest is read again      -> problems
    references.py  who names whom in the database                  -> problems
    mending.py     what can be made anew is; the rest is set aside
    rebuilding.py  a database of what is stored, if it was lost
    migrating.py   from one storage driver to another

Whoever comes here holds the data root's lock (engine/ownership.py). What is found, what is done
about it, and what is promised stands in docs/storage.md.
"""
