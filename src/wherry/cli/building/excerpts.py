"""Why a build failed and what was found in its Dockerfile, as people want to read it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.client.building import BuildWarning, Excerpt, Failure

_RULE = "--------------------"


def excerpt_lines(excerpt: Excerpt) -> list[str]:
    """The file's name, and its lines with `>>>` before those that are meant, as buildx has it."""
    lines = [f"{excerpt['file']}:{excerpt['line']}", _RULE]
    for number, text in enumerate(excerpt["lines"], excerpt["first"]):
        mark = ">>>" if excerpt["line"] <= number <= excerpt["end_line"] else "   "
        lines.append(f"{number:4} | {mark} {text}".rstrip())
    return [*lines, _RULE]


def failure_lines(failure: Failure, name: str) -> list[str]:
    """What is shown before the sentence itself: the last output of the step called `name`, and the
    place in the Dockerfile.
    """
    lines: list[str] = []
    tail = failure.get("tail", [])
    if tail:
        lines += ["------", f" > {name}:", *tail, "------"]
    if "excerpt" in failure:
        lines += excerpt_lines(failure["excerpt"])
    return lines


def failure_sentence(failure: Failure) -> str:
    hint = failure.get("hint", "")
    return f"{failure['message']}\n{hint}" if hint else failure["message"]


def warning_lines(warning: BuildWarning) -> list[str]:
    """A build check's finding at length."""
    rule = warning.get("rule", "")
    url = warning.get("url", "")
    lines = [f"WARNING: {rule} - {url}" if rule and url else f"WARNING: {rule or 'build'}"]
    lines.append(warning.get("description", "") or warning["message"])
    if warning.get("description") and warning["description"] != warning["message"]:
        lines.append(warning["message"])
    if "excerpt" in warning:
        lines += excerpt_lines(warning["excerpt"])
    return lines


def warning_line(warning: BuildWarning) -> str:
    """The same in one line, as it stands at the end of a build."""
    rule = warning.get("rule", "")
    place = f" (line {warning['excerpt']['line']})" if "excerpt" in warning else ""
    return f" - {rule + ': ' if rule else ''}{warning['message']}{place}"
