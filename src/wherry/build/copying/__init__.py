"""COPY and ADD: files of a tree become a layer.

plan = plan_copy(context, ["src", "*.toml"], "/app/", "/", target, CopyOptions())
plan.digest          # a component of the step's cache key
plan.tar()           # the layer, made while it is read
"""

from wherry.build.copying.options import CopyOptions, GivenFile, GivenTree, InlineFile
from wherry.build.copying.plan import CopyPlan, plan_copy, plan_tree

__all__ = [
    "CopyOptions",
    "CopyPlan",
    "GivenFile",
    "GivenTree",
    "InlineFile",
    "plan_copy",
    "plan_tree",
]
