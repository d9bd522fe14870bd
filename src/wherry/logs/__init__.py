"""Container logs: Docker's json-file format, written by the shim and read by the daemon."""
