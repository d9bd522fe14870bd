"""The part of Go's text/template that `--format` options are written in.

`parse` makes a tree (of `nodes`) of a text, `evaluate` renders a tree over data, `functions` holds
what templates may call: Go's own and those that Docker adds. `absent` says what JSON's nulls are.
"""
