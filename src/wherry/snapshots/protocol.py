"""What a snapshotter is: the tutorial of this room, and the law that every driver keeps."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from wherry.layers.files import FileTree
from wherry.layers.tar import Readable
from wherry.linux.mounts import RootMount
from wherry.spec.digest import Digest

Seen = Callable[[int], None]
"""Is told how many bytes more were read."""


@dataclass(frozen=True)
class Usage:
    """What a layer, or the changes of an active snapshot, take.

    `bytes` adds up the lengths of regular files, a hardlinked one counted once; `inodes` counts
    files of every kind, the root directory included. What is merely hidden takes nothing.
    """

    bytes: int
    inodes: int


class Received(Protocol):
    """A layer that is whole, verified and on the disk, but that nobody sees yet."""

    @property
    def diff_id(self) -> Digest: ...

    @property
    def usage(self) -> Usage: ...

    def keep(self) -> None:
        """Make it one of the layers; no error if it is one already."""


class Snapshotter(Protocol):
    """Keeps layers, and makes file systems of stacks of them.

    A *layer* is known by its diffID (the digest of its uncompressed tar), whatever lies under it,
    so the layers of one image are applied in parallel and shared by all images that name them. A
    *stack* is a list of diffIDs, bottom first. A *key* names an *active snapshot*: a stack with a
    writable directory on top; a container's ID is a fine key.

    The life of an image and of a container of it::

        base, app = Digest.parse("sha256:9c5b..."), Digest.parse("sha256:41d0...")
        for diff_id, tar in ((base, base_tar), (app, app_tar)):
            snapshotter.apply(diff_id, tar)         # stored now; in any order, by any thread

        root = snapshotter.prepare("c0ffee", [base, app])
        root.attach("/run/bundle/rootfs")           # in the container's own mount namespace
        ...                                         # the container runs, and writes

        with snapshotter.browse([base, app]) as tree:
            passwd = tree.open(b"etc/passwd").read()    # nothing is mounted for it

        tar = snapshotter.diff("c0ffee")            # what it changed, as a layer: a commit
        snapshotter.remove("c0ffee")                # the changes are gone, the layers are not
        snapshotter.remove_layer(app)               # refused as long as a key stands on it

    What `prepare` answers is a value, not a mount: nothing appears in any mount table until
    somebody attaches it, so a snapshot that is never run leaves no mount behind. `mounts` answers
    it again, after a restart too.

    A driver that unpacks (`overlay`, `native`) keeps files; the tar itself stays with the caller,
    and `open_tar` asks the caller for it. A driver that mounts the tar where it lies sets
    `keeps_tar`: then the caller need not store those bytes a second time, and `open_tar` reads
    them back, byte for byte.

    Methods block, and may be called from several threads. They raise `EngineError` only.

    **How a layer is read.** Every driver makes the same tree of the same tar:

    - An entry's name was judged by the tar reader: it stays in the root. The last entry of a name
      wins; a directory on a directory keeps what is in it and takes the new attributes; anything
      else replaces all that was there.
    - A parent that the layer does not list is made: mode 0755, owner 0:0, time 0. As in overlayfs,
      the attributes of the topmost layer that has a directory count.
    - An entry whose parent is a symlink (or a file) in a *lower* layer replaces it, and never goes
      through it (as overlayfs does). One whose parent is a symlink or a file in the *same* layer is
      refused by name: such an archive means to write somewhere else than it says.
    - A hardlink's target is a file that the same layer has had already; else it is refused.
    - `.wh.X` hides X of the layers below, `.wh..wh..opq` all that they have in its directory, never
      anything of its own layer, wherever in the archive it stands (OCI image-spec, layer.md,
      "Whiteouts"). Other names beginning with `.wh..wh.` are AUFS's own and are skipped.
    - Content are the extended attributes `user.*`, `security.capability` and the POSIX ACLs. Others
      are dropped, because the host gives them a meaning: `trusted.*`, labels of security modules,
      and `user.overlay.*`, by which an archive could hide or redirect what lies under it.
    - Character device 0/0 is refused: it is overlayfs's own sign for "removed". So is a layer of
      more entries than the driver's limit, or more than 10,000 devices, by ResourceExhausted.
    """

    @property
    def name(self) -> str:
        """The driver's name, as in `--storage-driver` and in `info`."""

    @property
    def keeps_tar(self) -> bool:
        """Whether `open_tar` reads the driver's own copy, and the caller need keep none."""

    def status(self) -> list[tuple[str, str]]:
        """What `info` says about the driver: its file system, and why it was chosen."""

    # --- layers -----------------------------------------------------------------------------------

    def apply(self, diff_id: Digest, tar: BinaryIO) -> Usage:
        """Keep the layer whose uncompressed bytes are `tar`.

        Idempotent: returning means that the layer is stored and outlasts a power cut, not that we
        stored it; `tar` may be left unread. Concurrent calls for one layer do the work once.
        Raises DataLoss if the bytes do not have the digest `diff_id`, InvalidArgument for an
        archive that breaks the rules above, ResourceExhausted if it does not fit. Whatever `tar`
        itself raises passes through. After an error nothing is left.
        """

    def receive(self, tar: Readable) -> AbstractContextManager[Received]:
        """Keep the layer whose uncompressed bytes are `tar`, whatever their digest is.

        For archives that name their layers at the end. It is a layer once it was told `keep`; else
        it is gone when the context ends. Raises what `apply` raises, but for DataLoss. Only of a
        driver that keeps tars.
        """

    def contains(self, diff_id: Digest) -> bool: ...

    def layers(self) -> list[Digest]:
        """Every layer that is stored, in the order of the digests."""

    def usage(self, diff_id: Digest) -> Usage:
        """Raises NotFound."""

    def open_tar(self, diff_id: Digest) -> BinaryIO:
        """The layer's uncompressed tar, byte for byte. Raises NotFound."""

    def verify(self, diff_id: Digest, seen: Seen) -> None:
        """Read all of the layer, and compare it with what its digest stands for.

        Raises DataLoss saying what is wrong, NotFound for a layer that is not stored, or whose tar
        is with the caller and is not there.
        """

    def remove_layer(self, diff_id: Digest) -> None:
        """Forget a layer; no error if there is none. Quick: the files are deleted later.

        Raises Conflict if an active snapshot stands on it.
        """

    def view(self, stack: Sequence[Digest]) -> RootMount | None:
        """A mount of `stack`, bottom first, that can't be written to; nothing is kept of it.

        The layers must stay, as for `browse`. None from a driver that can't do without a key.
        Raises NotFound for a layer that is not stored.
        """

    def browse(self, stack: Sequence[Digest]) -> FileTree:
        """The files of `stack`, bottom first, as a mount of it shows them; to be closed.

        Nothing is read before it is asked for, so that a few files of a large image cost next to
        nothing. The layers must stay: the caller holds them by a lease or a key. The identities of
        its nodes say which names are one file: overlayfs shows no hardlinks between layers either.
        Raises NotFound for a layer that is not stored.
        """

    # --- active snapshots -------------------------------------------------------------------------

    def prepare(self, key: str, stack: Sequence[Digest]) -> RootMount:
        """Make the active snapshot `key` on `stack`, bottom first; an empty stack is `scratch`.

        A layer may occur more than once. Raises Conflict if the key is in use, NotFound for a layer
        that is not stored, InvalidArgument for a key that could not be a file's name (letters,
        digits, `_.-`, at most 128) or a stack higher than the driver can mount.

        It does not wait for the disk: until `secure`, a power cut may leave nothing of it, or
        parts. Nothing may be written into it before that.
        """

    def secure(self, key: str) -> None:
        """Return when a power cut does not undo `prepare` any more. Quick if that is so already.

        Raises NotFound if it was removed in the meantime.
        """

    def renew(self, key: str, stack: Sequence[Digest]) -> None:
        """After a crash: see that all of `key` is there, which was prepared on `stack`.

        One that was never secured, and so never written into, is made anew if parts are missing.
        Raises what `prepare` raises, and DataLoss where something else was the damage.
        """

    def mounts(self, key: str) -> RootMount:
        """What `prepare` answered. Raises NotFound."""

    def browse_active(self, key: str) -> FileTree:
        """The files of `key`, what was changed included; to be closed.

        Of what its container changes meanwhile, the old or the new may be seen. Sockets are left
        out, as by `diff`. Raises NotFound.
        """

    def keys(self) -> list[str]:
        """Every active snapshot, sorted."""

    def key_usage(self, key: str) -> Usage:
        """What the changes of `key` take. Raises NotFound."""

    def diff(self, key: str) -> BinaryIO:
        """The changes of `key` as a layer's tar, whiteouts included, made while it is read.

        Applied upon the same stack it gives the same tree. Equal changes give equal bytes. Sockets
        are left out, as tar has none. The snapshot should be still (its container paused or
        stopped): a file that changes under the reader raises Conflict. Raises NotFound.
        """

    def remove(self, key: str) -> None:
        """Forget the active snapshot; no error if there is none. Quick: deletion comes later."""

    # --- the driver's own directory ---------------------------------------------------------------

    def recover(self) -> None:
        """Clear what a crash left: half-done applies, half-made snapshots, files to be deleted.

        Called once, before anything else, by the one process that owns the directory.
        """
