"""Images as clients see them."""

from collections.abc import Sequence
from typing import Final

from wherry.engine.document import timestamp
from wherry.engine.model import (
    UNSET,
    Descriptor,
    EmptyObject,
    GraphDriver,
    HealthConfig,
    ImageHistoryItem,
    ImageInspect,
    ImageMetadata,
    ImageSummary,
    InspectedImageConfig,
    RootFS,
)
from wherry.images.image import Image, seconds_of
from wherry.spec.image import Descriptor as StoredDescriptor
from wherry.spec.image import Empty, Healthcheck, RunConfig

# The year 1, which Go has for a time that was never set and clients show as none.
_NO_TIME: Final = -62135596800


def summary(image: Image) -> ImageSummary:
    """One row of the list."""
    return ImageSummary(
        id=str(image.id),
        repo_tags=image.tags,
        repo_digests=image.digests,
        created=image.created_seconds,
        size=image.size,
        labels=dict(image.config.config.labels) or None,
        descriptor=_descriptor(image.target),
    )


def inspect(image: Image, driver: str) -> ImageInspect:
    config = image.config
    return ImageInspect(
        id=str(image.id),
        descriptor=_descriptor(image.target),
        repo_tags=image.tags,
        repo_digests=image.digests,
        comment=config.comment,
        created=config.created or UNSET,
        docker_version=config.docker_version,
        author=config.author,
        config=_config(config.config),
        architecture=config.architecture,
        variant=config.variant or UNSET,
        os=config.os,
        os_version=config.os_version or UNSET,
        size=image.size,
        graph_driver=GraphDriver(name=driver),
        rootfs=RootFS(layers=[str(layer) for layer in image.diff_ids]),
        metadata=ImageMetadata(last_tag_time=timestamp(image.added_at)),
    )


def history(image: Image, sizes: Sequence[int]) -> list[ImageHistoryItem]:
    """The steps that made the image, the newest first; `sizes` are those of its layers."""
    left = iter(sizes)
    steps = [
        ImageHistoryItem(
            comment=step.comment,
            created=seconds_of(step.created, unknown=_NO_TIME),
            created_by=step.created_by,
            size=0 if step.empty_layer else next(left, 0),
        )
        for step in image.config.history
    ]
    steps.reverse()
    for last in steps[:1]:
        last.id = str(image.id)
        last.tags = image.tags or None
    return steps


def _descriptor(stored: StoredDescriptor) -> Descriptor:
    return Descriptor(
        media_type=stored.media_type,
        digest=str(stored.digest),
        size=stored.size,
        annotations=dict(stored.annotations) or UNSET,
    )


def _config(config: RunConfig) -> InspectedImageConfig:
    return InspectedImageConfig(
        user=config.user,
        exposed_ports=_set(config.exposed_ports) or UNSET,
        env=list(config.env) or None,
        cmd=list(config.cmd) or None,
        healthcheck=_healthcheck(config.healthcheck) if config.healthcheck else UNSET,
        args_escaped=config.args_escaped or UNSET,
        volumes=_set(config.volumes) or None,
        working_dir=config.working_dir,
        entrypoint=list(config.entrypoint) or None,
        on_build=list(config.on_build) or None,
        labels=dict(config.labels) or None,
        stop_signal=config.stop_signal or UNSET,
        shell=list(config.shell) or UNSET,
    )


def _set(names: dict[str, Empty]) -> dict[str, EmptyObject]:
    return {name: EmptyObject() for name in names}


def _healthcheck(check: Healthcheck) -> HealthConfig:
    return HealthConfig(
        test=list(check.test) or UNSET,
        interval=check.interval or UNSET,
        timeout=check.timeout or UNSET,
        start_period=check.start_period or UNSET,
        start_interval=check.start_interval or UNSET,
        retries=check.retries or UNSET,
    )
