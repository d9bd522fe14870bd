"""Archives of images of this host's programs, for tests that need more than busybox."""

from wherry.hostimage import Archive, RunConfig, Wanted, collect, image_name


def archive(name: str, *programs: str) -> bytes:
    found = collect(Wanted(programs))
    run = RunConfig(found.environment, found.programs[:1])
    return b"".join(Archive(found.tree, run, [image_name(name)], "a test").pieces())
