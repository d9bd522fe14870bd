"""Templates over a list's rows and over whole documents."""

from __future__ import annotations

from wherry.cli.errors import CliError
from wherry.cli.template.evaluate import TemplateError, render
from wherry.cli.template.parse import parse_template
from wherry.cli.template.scan import TemplateSyntaxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wherry.cli.listing import Row

SYNTAX_ERROR_CODE = 64


class Rows:
    """A template for the rows of a list. Raises CliError where a document template would."""

    def __init__(self, form: str) -> None:
        try:
            self._template = parse_template(form)
        except TemplateSyntaxError as error:
            raise CliError(f"failed to parse template: {error}") from error

    def line(self, row: Row) -> str:
        return self._render(row)

    def heading(self, headers: Mapping[str, str]) -> str:
        """The same template over the names of the columns."""
        names = {name: _constant(text) for name, text in headers.items()}
        return self._render(names | {"Label": _label_heading})

    def _render(self, row: Row) -> str:
        try:
            return render(self._template, row)
        except TemplateError as error:
            raise CliError(f"failed to execute template: {error}") from error


def _constant(text: str) -> Callable[..., object]:
    return lambda *_: text


def _label_heading(name: str) -> str:
    """What Docker puts above a label: its name's last part, without dashes."""
    return name.rpartition(".")[2].replace("-", " ").replace("_", " ")


class Documents:
    """A template for whole documents, as `inspect --format` takes it."""

    def __init__(self, form: str) -> None:
        try:
            self._template = parse_template(form)
        except TemplateSyntaxError as error:
            raise CliError(f"template parsing error: {error}", SYNTAX_ERROR_CODE) from error

    def render(self, document: object) -> str:
        try:
            return render(self._template, document)
        except TemplateError as error:
            raise CliError(f"template parsing error: {error}") from error
