"""Mounts as values: made and described without root, attached with it."""
