"""Build checks: what in a Dockerfile works, and should not be as it is.

    settings.py   which checks are made, and whether what they find ends the build
    rules.py      the rules, by BuildKit's names and in its words
    forms.py      how it is written
    meanings.py   what it means: variables, bases, what comes twice

Pure functions of a parsed Dockerfile; that a stage's base has another platform than the build is
told where the base is found.
"""

from __future__ import annotations

from wherry.build.checks.finding import Finding, found
from wherry.build.checks.forms import check_forms
from wherry.build.checks.meanings import Surroundings, check_meanings
from wherry.build.checks.settings import Settings, parse
from wherry.build.dockerfile import Dockerfile

__all__ = ["Finding", "Settings", "Surroundings", "check", "found", "parse"]


def check(dockerfile: Dockerfile, settings: Settings, around: Surroundings) -> list[Finding]:
    """What the rules that are wanted have found, by line. Raises DockerfileError for a Dockerfile
    whose variables cannot be replaced."""
    findings = [*check_forms(dockerfile), *check_meanings(dockerfile, around)]
    wanted = [finding for finding in findings if settings.wants(finding.rule)]
    return sorted(wanted, key=lambda finding: (finding.location.line, finding.location.column))
