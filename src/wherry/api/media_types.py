"""The types of the Engine API's bodies that are not JSON."""

TAR = "application/x-tar"
RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"


def of_stream(tty: bool, version: tuple[int, int]) -> str:
    """The type of a container's output; before v1.42 both kinds had the same name."""
    return RAW if tty or version < (1, 42) else MULTIPLEXED
