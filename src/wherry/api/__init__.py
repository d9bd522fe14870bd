"""The Docker Engine API over HTTP: wire types in, backends called, wire types out."""
