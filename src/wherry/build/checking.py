"""The build checks of a job: made before its steps, told as warnings."""

from __future__ import annotations

from collections.abc import Iterator

from wherry import errdefs
from wherry.build.checks import Finding, Settings, Surroundings, check, parse
from wherry.build.dockerfile import DockerfileError, platform_arguments
from wherry.build.events import BuildWarning
from wherry.build.job import Job
from wherry.build.plan import OfImage
from wherry.build.vertices import excerpt_of
from wherry.errdefs import EngineError, Kind
from wherry.threads import to_thread

_ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
_WARNINGS_MAX = 1000


async def check_job(job: Job) -> None:
    """Tell what the checks have found. Raises InvalidArgument if that is to end the build."""
    settings = settings_of(job)
    around = await _surroundings(job)
    findings = await to_thread(check, job.dockerfile, settings, around)
    for finding in findings[:_WARNINGS_MAX]:
        job.emit(warning_of(finding))
    if len(findings) > _WARNINGS_MAX:
        job.emit(BuildWarning(f"and {len(findings) - _WARNINGS_MAX} warnings more"))
    if findings and settings.error:
        rules = ", ".join(dict.fromkeys(finding.rule.name for finding in findings))
        first = findings[0].location
        raise errdefs.invalid(
            f"lint violation found for rules: {rules} ({first.source.name}:{first.line} is the "
            "first; `# check=error=true` makes them errors)"
        )


def warning_of(finding: Finding) -> BuildWarning:
    rule = finding.rule
    return BuildWarning(
        finding.message, rule.name, rule.description, rule.url, excerpt_of(finding.location)
    )


def settings_of(job: Job) -> Settings:
    """Which checks the job wants. Raises DockerfileError."""
    try:
        return parse(job.given.get(_ARGUMENT, job.dockerfile.directives.check))
    except EngineError as error:
        raise DockerfileError(error.message, job.dockerfile.stages[0].location) from error


async def _surroundings(job: Job) -> Surroundings:
    environments = {name: await _environment(job, name) for name in set(_images(job))}
    context = job.contexts.get("")
    return Surroundings(
        needed=job.plan.needed,
        always=platform_arguments(job.around.host, job.platform, job.request.target, job.given),
        given=job.given,
        image_environment=environments.get,
        is_ignored=context.is_ignored if context else lambda path: False,
    )


def _images(job: Job) -> Iterator[str]:
    for index in job.plan.needed:
        plan = job.plan.stages[index]
        if isinstance(plan.base, OfImage):
            yield plan.base.name


async def _environment(job: Job, name: str) -> tuple[str, ...] | None:
    """An image's ENV; None if it is not here, which its own step will say."""
    try:
        image = await job.around.images.resolve(name, job.platform, pull=False)
    except EngineError as error:
        if error.kind is Kind.DATA_LOSS:
            raise
        return None
    return image.config.config.env
