"""What a template's tree is made of. Each node knows where it stands, for errors to say it."""

from __future__ import annotations

# The nodes are plain classes: `dataclasses` would cost more than all the rest of `wherry ps`.


class Text:
    def __init__(self, text: str) -> None:
        self.text = text


class Literal:
    def __init__(self, value: str | float | bool | None, at: int, source: str) -> None:
        self.value = value
        self.at = at
        self.source = source


class Reference:
    """`.`, `$` or `$name`, and the fields after it. `variable` is None for the dot."""

    def __init__(self, variable: str | None, fields: tuple[str, ...], at: int, source: str) -> None:
        self.variable = variable
        self.fields = fields
        self.at = at
        self.source = source


class Function:
    def __init__(self, name: str, at: int) -> None:
        self.name = name
        self.at = at
        self.source = name


class Group:
    """A pipeline in parentheses, and the fields after it."""

    def __init__(self, pipeline: Pipeline, fields: tuple[str, ...], at: int, source: str) -> None:
        self.pipeline = pipeline
        self.fields = fields
        self.at = at
        self.source = source


class Pipe:
    """One command of a pipeline: what is called, and its arguments."""

    def __init__(self, operands: tuple[Operand, ...], at: int, source: str) -> None:
        self.operands = operands
        self.at = at
        self.source = source


class Pipeline:
    """Commands whose results feed the next; `variables` receive the last result."""

    def __init__(self, commands: tuple[Pipe, ...], variables: tuple[str, ...]) -> None:
        self.commands = commands
        self.variables = variables


class Branch:
    """`if`, `with` or `range`: what is asked, the body, and the body of `else`."""

    def __init__(self, word: str, pipeline: Pipeline) -> None:
        self.word = word
        self.pipeline = pipeline
        self.body: Body = []
        self.otherwise: Body = []


class Leave:
    """`break` or `continue`."""

    def __init__(self, word: str) -> None:
        self.word = word


Operand = Literal | Reference | Function | Group
Node = Text | Pipeline | Branch | Leave
Body = list[Node]


class Template:
    """A whole template: its text, for errors, and its tree."""

    def __init__(self, text: str, body: Body) -> None:
        self.text = text
        self.body = body


def place(text: str, at: int) -> str:
    """`line:column` as Go counts them: lines from one, columns in bytes from zero."""
    line = text.count("\n", 0, at)
    column = text[text.rfind("\n", 0, at) + 1 : at]
    return f"{line + 1}:{len(column.encode('utf-8', 'surrogateescape'))}"
