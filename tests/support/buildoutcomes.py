"""What a build has made, in a form that can be read, kept and compared."""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import buildimages

# Longer ones are told by their digest.
_SHORT = 60


@dataclass(frozen=True)
class Outcome:
    """An image without its times and without what its base has brought, or why there is none."""

    config: Mapping[str, object] = field(default_factory=dict)
    """Members of the image's config that say something."""
    history: list[str] = field(default_factory=list)
    """`+ ` before what made a layer, `- ` before what made none."""
    files: Mapping[str, str] = field(default_factory=dict)
    """What is new or otherwise, of the base's files and its own, by path."""
    gone: list[str] = field(default_factory=list)
    """What the base had; only the top of a tree."""
    error: str = ""

    def document(self) -> dict[str, object]:
        """Only what there is."""
        return {name: value for name, value in asdict(self).items() if value}


def of_archive(archive: bytes) -> Outcome:
    """Of the one image in a docker-archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:

        def read(name: str) -> bytes:
            file = tar.extractfile(name)
            assert file is not None, name
            return file.read()

        (manifest,) = json.loads(read("manifest.json"))
        image = json.loads(read(manifest["Config"]))
        digests = image["rootfs"].get("diff_ids") or []
        shared = _common(digests, buildimages.diff_ids())
        tree = _base(shared)
        for name in manifest["Layers"][shared:]:
            _apply(tree, read(name))
    files, gone = _changes(_told(_base(shared)), _told(tree))
    config = {key: value for key, value in image["config"].items() if value}
    if author := image.get("author"):
        config["author"] = author
    return Outcome(config, _history(image, shared), files, gone)


def _common(ones: list[str], others: list[str]) -> int:
    """How many they have in common at their beginnings."""
    pairs = zip(ones, others, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(ones), len(others)))


def _history(image: Mapping[str, Any], inherited: int) -> list[str]:
    """Of what was built; the bases have one line for each of their layers."""
    lines = []
    for step in image.get("history") or []:
        mark = "-" if step.get("empty_layer") else "+"
        lines.append(f"{mark} {step.get('created_by', '')}")
    assert lines[:inherited] == ["+ a test"] * inherited, lines
    return lines[inherited:]


# --- Layers upon each other -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _File:
    """Equal to itself only: the names of one file share one."""

    kind: str
    mode: int
    owner: str
    content: str
    xattrs: str


_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
    tarfile.FIFOTYPE: "fifo",
}


def _base(count: int) -> dict[str, _File]:
    """The files of the first `count` layers that all bases share."""
    tree: dict[str, _File] = {}
    for layer in buildimages.layers()[:count]:
        _apply(tree, layer)
    return tree


def _apply(tree: dict[str, _File], layer: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        members = [(member.name.removeprefix("./").strip("/"), member) for member in tar]
        # A layer's whiteouts speak of the layers below, wherever among its entries they stand.
        for path, _ in members:
            parent, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                _remove(tree, parent, itself=False)
            elif name.startswith(".wh.") and not name.startswith(".wh..wh."):
                _remove(tree, f"{parent}/{name[4:]}".lstrip("/"))
        for path, member in members:
            if path in ("", ".") or path.rpartition("/")[2].startswith(".wh."):
                continue
            if path in tree and not (member.isdir() and tree[path].kind == "dir"):
                _remove(tree, path)
            tree[path] = (
                tree[member.linkname.removeprefix("./").strip("/")]
                if member.islnk()
                else _file(tar, member)
            )


def _remove(tree: dict[str, _File], path: str, itself: bool = True) -> None:
    below = f"{path}/" if path else ""
    for other in [other for other in tree if other.startswith(below)]:
        del tree[other]
    if itself:
        tree.pop(path, None)


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo) -> _File:
    content = ""
    if member.isreg():
        file = tar.extractfile(member)
        assert file is not None
        content = _content(file.read())
    elif member.issym():
        content = f"-> {member.linkname}"
    elif member.ischr() or member.isblk():
        content = f"{member.devmajor}:{member.devminor}"
    xattrs = " ".join(
        f"{name.removeprefix('SCHILY.xattr.')}={value!r}"
        for name, value in sorted(member.pax_headers.items())
        if name.startswith("SCHILY.xattr.")
    )
    owner = f"{member.uid}:{member.gid}"
    return _File(_KINDS[member.type], member.mode & 0o7777, owner, content, xattrs)


def _content(data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    if digest == buildimages.busybox_digest():
        return "<busybox>"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if len(data) <= _SHORT and all(letter.isprintable() or letter in "\n\t\r" for letter in text):
        return repr(text)
    return f"sha256:{digest[:24]} {len(data)}"


def _told(tree: Mapping[str, _File]) -> dict[str, str]:
    """A line for each file; of several names, each tells the others."""
    names: dict[int, list[str]] = {}
    for path, file in sorted(tree.items()):
        names.setdefault(id(file), []).append(path)
    lines = {}
    for path, file in tree.items():
        others = [name for name in names[id(file)] if name != path]
        words = [file.kind, f"{file.mode:o}", file.owner, file.content, file.xattrs]
        words += [f"= {name}" for name in others]
        lines[path] = " ".join(word for word in words if word)
    return lines


def _changes(
    before: Mapping[str, str], after: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    files = {path: line for path, line in sorted(after.items()) if before.get(path) != line}
    lost = {path for path in before if path not in after}
    return files, sorted(path for path in lost if path.rpartition("/")[0] not in lost)


# --- Refusals -------------------------------------------------------------------------------------

_NOISE = [
    (r"^(error: )?failed to solve( with frontend dockerfile\.v0)?: ", ""),
    (r"^failed to create LLB definition: ", ""),
    (r"/(tmp|var/lib)/[^ :]*/", "<folder>/"),
    (r"failed to do request: .*", "failed to do request: <no network>"),
    (r"\b[0-9a-z]{25}\b(::\w+)?", "<id>"),
    (r"sha256:[0-9a-f]{64}", "sha256:<digest>"),
]


def refused(reason: str) -> Outcome:
    for pattern, better in _NOISE:
        reason = re.sub(pattern, better, reason)
    return Outcome(error=reason.strip())


def differences(wanted: Outcome, seen: Outcome) -> Iterator[str]:
    """A line for each thing that is not the same, for a person to read."""
    for name in ("error", "config", "files", "history", "gone"):
        one, other = getattr(wanted, name), getattr(seen, name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            for key in sorted({*one, *other}):
                if one.get(key) != other.get(key):
                    yield f"{name} {key}: wanted {one.get(key)!r}, seen {other.get(key)!r}"
        elif one != other:
            yield f"{name}: wanted {one!r}, seen {other!r}"
