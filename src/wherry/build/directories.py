"""WORKDIR makes its directory; a context can be what a stage stands on."""

from __future__ import annotations

from wherry.build.copying import CopyOptions, GivenTree, plan_copy, plan_tree
from wherry.build.job import Job
from wherry.build.keys import CacheKey, key_of
from wherry.build.materials import Material, user_of
from wherry.build.protocols import Output
from wherry.build.state import State
from wherry.build.threads import Stop, in_thread
from wherry.images.collector import Lease
from wherry.images.making import keep_layer
from wherry.metadata import LayerRecord
from wherry.spec.digest import Digest


def key_of_workdir(state: State) -> CacheKey:
    return key_of("WORKDIR", state.layers, workdir=state.run.working_dir, user=state.run.user)


async def work(job: Job, state: State, lease: Lease, output: Output) -> LayerRecord:
    """The layer that has the working directory and what was missing above it: the user's, as
    BuildKit has it. One that was there stays as it is."""
    collector = job.around.collector

    def keep(stop: Stop) -> LayerRecord:
        snapshots = collector.snapshots
        with snapshots.browse(state.layers) as target, snapshots.browse(()) as nothing:
            place = state.run.working_dir + "/"
            empty = GivenTree(nothing)
            uid, gid = user_of(target, state.run.user)
            options = CopyOptions(uid, gid, keyword="WORKDIR")
            plan = plan_copy(nothing, [empty], place, "/", target, options)
            return keep_layer(stop.watch(plan.tar()), collector, lease, "a working directory")

    return await in_thread(keep)


async def layers_of(job: Job, material: Material) -> tuple[Digest, ...]:
    """A context's files as a layer, which the build's lease holds."""
    if material.layers is not None:
        return material.layers
    collector = job.around.collector

    def keep(stop: Stop) -> LayerRecord:
        with material.open() as tree:
            plan = plan_tree(tree, b"")
            return keep_layer(stop.watch(plan.tar()), collector, job.lease, "a build context")

    return ((await in_thread(keep)).diff_id,)
