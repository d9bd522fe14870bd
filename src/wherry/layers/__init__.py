"""Layers as bytes: reading and writing tars, whiteouts, chain identities, compression."""
