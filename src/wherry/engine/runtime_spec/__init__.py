"""From what a client asked for to the OCI runtime specification's `config.json`.

Everything here is a function of its arguments: no file is read and no kernel asked, but through
the `Host` that is passed in. `build.py` puts together what the other files make.
"""
