"""Images: loaded from archives, named, found and removed."""
