"""Blobs by their digest: what was fetched, loaded or built, byte for byte."""
