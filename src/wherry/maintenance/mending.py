"""What a repair does: what can be made anew is; what can't is set aside, and never deleted.

The order matters. Layers first, out of blobs and tars that are whole; then what is damaged leaves
its place; then the database forgets what names it. A repair that is interrupted at any point is
begun again by another.
"""

from pathlib import Path

from wherry import errdefs
from wherry.errdefs import EngineError, Kind
from wherry.faults import fault
from wherry.maintenance.checking import Checked
from wherry.maintenance.findings import Outcome, Problem, RemovedImage
from wherry.maintenance.rebuilding import rebuild
from wherry.maintenance.references import Broken, Records, References
from wherry.maintenance.root import DATABASE, DataRoot
from wherry.metadata import Transaction
from wherry.snapshots import drivers
from wherry.spec.digest import Digest


def mend(root: DataRoot, checked: Checked) -> None:
    """Do away with what a check has found, and write down in its findings how.

    Nothing may run on the data root meanwhile: no daemon, no container. Raises EngineError where
    mending itself fails, as on a full disk; then it can be begun again.
    """
    findings = checked.findings
    for diff_id, problem in findings.layers.items():
        problem.outcome = _mend_layer(root, checked, diff_id)
    for digest, problem in findings.blobs.items():
        path = root.path / "content" / "blobs" / "sha256" / digest.hex
        root.set_aside(path, f"blob-{digest.hex}")
        problem.outcome = Outcome.SET_ASIDE
    for problem in findings.problems:
        if problem.subject == "snapshots":
            problem.outcome = _mend_snapshots(root, problem)
        elif problem.subject == "database":
            rebuild(root, findings)
            problem.outcome = Outcome.SET_ASIDE
    if checked.records is not None:
        _mend_references(root, checked, checked.records)
    if root.snapshots is not None:
        root.snapshots.wait_until_clean()


def _mend_layer(root: DataRoot, checked: Checked, diff_id: Digest) -> Outcome:
    snapshots = root.snapshots
    assert snapshots is not None
    for source in checked.sources.pop(diff_id, []):
        try:
            with source.open() as tar:
                snapshots.replace(diff_id, tar)
        except EngineError as error:
            if error.kind not in (Kind.DATA_LOSS, Kind.INVALID_ARGUMENT, Kind.NOT_FOUND):
                raise
            continue
        return Outcome.MENDED
    root.set_aside(snapshots.layer_path(diff_id), f"layer-{diff_id.hex}")
    return Outcome.SET_ASIDE


def _mend_snapshots(root: DataRoot, problem: Problem) -> Outcome:
    assert root.snapshots is not None
    path = Path(problem.object)
    if path.name in drivers.NAMES:
        root.set_aside(path, f"snapshots-{path.name}")
        return Outcome.SET_ASIDE
    drivers.switch(root.path, root.snapshots.name)
    return Outcome.MENDED


def _mend_references(root: DataRoot, checked: Checked, records: Records) -> None:
    """Damaged blobs and layers are away now: whoever names what is not there is broken."""
    findings = checked.findings
    known = {id(problem) for problem in findings.problems}
    stored = {*root.snapshots.layers()} if root.snapshots else set()
    now = References(root, records, findings, {*findings.layers} & stored).examine()
    # The check has spoken of these already, in the words of before the repair.
    findings.problems = [problem for problem in findings.problems if id(problem) in known]
    before = checked.broken
    for image_id, problem in before.images.items():
        problem.outcome = Outcome.REMOVED if image_id in now.images else Outcome.MENDED
    findings.removed = [
        RemovedImage(image_id, records.names_of(image_id)) for image_id in now.images
    ]
    for name_problem in before.names.values():
        name_problem.outcome = Outcome.REMOVED
    for container, problem in before.containers.items():
        record = next(one for one in records.containers if one.id == container)
        root.keep_aside(record.document, f"container-{container}.json")
        problem.outcome = Outcome.SET_ASIDE
    for container, (layers, problem) in before.stacks.items():
        assert root.snapshots is not None
        root.snapshots.restack(container, layers)
        problem.outcome = Outcome.MENDED
    fault("maintenance.mend.before-commit")
    if root.database is None:
        raise errdefs.internal(f"{root.path / DATABASE} is not open")
    root.database.write(lambda tx: _forget(tx, now))
    fault("maintenance.mend.after-commit")


def _forget(tx: Transaction, broken: Broken) -> None:
    for image_id in broken.images:
        tx.delete_image(image_id)
    for name in broken.names:
        tx.delete_name(name)
    for container in broken.containers:
        tx.delete_container(container)
    tx.delete_layers(broken.layers)
