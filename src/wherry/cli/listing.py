"""`--format`: rows of a list as a table, as JSON, or through a template."""

from __future__ import annotations

from wherry.cli.output import out
from wherry.cli.tabular import tabulate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    # A field computes its text when a format asks for it.
    Row = Mapping[str, Callable[..., object]]


class Method:
    """A field that takes an argument, as `.Label "name"`; it is no part of a row's JSON."""

    def __init__(self, call: Callable[[str], str]) -> None:
        self._call = call

    def __call__(self, argument: str) -> str:
        return self._call(argument)


def print_rows(
    rows: Iterable[Row],
    form: str,
    columns: Sequence[str],
    headers: Mapping[str, str],
    *,
    checked: bool = False,
) -> None:
    """Print `rows` as `form` (an option's value) says.

    `columns` are the fields of the plain table, `headers` what stands above each field in one.
    Raises CliError for a template that can't be understood or names no field; the latter without
    any row only if it is `checked`.
    """
    form = form.replace("\\t", "\t").replace("\\n", "\n")
    if form in ("", "table"):
        lines = ["\t".join(headers[column] for column in columns)]
        lines += ["\t".join(str(row[column]()) for column in columns) for row in rows]
        out(tabulate(lines))
        return
    if form == "json":
        form = "{{json .}}"
    from wherry.cli.rendering import Rows

    heading = form.startswith("table ")
    rendering = Rows(form.removeprefix("table "))
    lines = [rendering.heading(headers)] if heading else []
    if checked and not heading and "json" not in form:
        rendering.heading(headers)
    lines += [rendering.line(row) for row in rows]
    out(tabulate(lines) if heading else "".join(f"{line}\n" for line in lines))
