"""A template's tree rendered over data: documents made of JSON's types, or rows of a list."""

from __future__ import annotations

from wherry.cli.template.absent import LEFT_OUT, MAPS, NO_VALUE, NULLS
from wherry.cli.template.functions import FUNCTIONS, FunctionError, arity, shown, truth
from wherry.cli.template.nodes import (
    Body,
    Branch,
    Function,
    Group,
    Leave,
    Literal,
    Operand,
    Pipe,
    Pipeline,
    Template,
    Text,
    place,
)


class TemplateError(Exception):
    """The template asks for what the data does not have. Its words begin with where."""


class _LoopLeft(Exception):  # noqa: N818  no error
    """A `break`, or a `continue`, on its way to its `range`."""

    def __init__(self, word: str) -> None:
        self.word = word


def render(template: Template, data: object) -> str:
    """The text of `template` over `data`, where fields are keys of mappings.

    A member that can be called is called. Raises TemplateError for a field that isn't there and
    for what a function refuses.
    """
    pieces: list[str] = []
    _Rendering(template.text, data, pieces).run(template.body, data)
    return "".join(pieces)


class _Rendering:
    def __init__(self, text: str, root: object, pieces: list[str]) -> None:
        self._text = text
        self._variables: dict[str, object] = {"$": root}
        self._pieces = pieces

    def run(self, body: Body, dot: object) -> None:
        for node in body:
            if isinstance(node, Text):
                self._pieces.append(node.text)
            elif isinstance(node, Pipeline):
                value = self._pipeline(node, dot)
                if not node.variables:
                    self._pieces.append(shown(value))
            elif isinstance(node, Leave):
                raise _LoopLeft(node.word)
            else:
                self._branch(node, dot)

    def _error(self, node: Operand | Pipe, problem: str) -> TemplateError:
        where = place(self._text, node.at)
        return TemplateError(f'template: :{where}: executing "" at <{node.source}>: {problem}')

    def _branch(self, branch: Branch, dot: object) -> None:
        if branch.word == "range":
            self._range(branch, dot)
            return
        value = self._pipeline(branch.pipeline, dot)
        if not truth(value):
            self.run(branch.otherwise, dot)
        else:
            self.run(branch.body, value if branch.word == "with" else dot)

    def _range(self, branch: Branch, dot: object) -> None:
        pairs = self._pairs(branch.pipeline, self._pipeline(branch.pipeline, dot))
        variables = branch.pipeline.variables
        for pair in pairs:
            chosen = pair if len(variables) > 1 else pair[1:]
            self._variables.update(zip(variables, chosen, strict=False))
            try:
                self.run(branch.body, pair[1])
            except _LoopLeft as left:
                if left.word == "break":
                    break
        if not pairs:
            self.run(branch.otherwise, dot)

    def _pairs(self, pipeline: Pipeline, value: object) -> list[tuple[object, object]]:
        if isinstance(value, dict):
            return [(key, value[key]) for key in sorted(value)]
        if isinstance(value, (list, tuple)):
            return list(enumerate(value))
        if isinstance(value, int) and not isinstance(value, bool):
            return [(number, number) for number in range(value)]
        if value is None:
            return []
        raise self._error(pipeline.commands[-1], f"range can't iterate over {shown(value)}")

    def _pipeline(self, pipeline: Pipeline, dot: object) -> object:
        fed: tuple[object, ...] = ()
        for command in pipeline.commands:
            fed = (self._command(command, dot, fed),)
        if pipeline.variables:
            self._variables[pipeline.variables[-1]] = fed[0]
        return fed[0]

    def _command(self, command: Pipe, dot: object, fed: tuple[object, ...]) -> object:
        first, *others = command.operands
        arguments = [self._operand(other, dot, ()) for other in others]
        arguments += fed
        if not isinstance(first, Function):
            return self._operand(first, dot, tuple(arguments))
        return self._call(first, command, arguments)

    def _call(self, function: Function, whole: Pipe, arguments: list[object]) -> object:
        least, most = arity(FUNCTIONS[function.name])
        if not least <= len(arguments) <= most:
            wanted = f"{least}" if least == most else f"at least {least}"
            problem = (
                f"wrong number of args for {function.name}: want {wanted} got {len(arguments)}"
            )
            raise self._error(function, problem)
        try:
            return FUNCTIONS[function.name](*arguments)
        except FunctionError as error:
            problem = f"error calling {function.name}: {error}"
            raise self._error(whole, problem) from error

    def _operand(self, operand: Operand, dot: object, arguments: tuple[object, ...]) -> object:
        fields: tuple[str, ...] = ()
        if isinstance(operand, Literal):
            value: object = operand.value
        elif isinstance(operand, Group):
            value, fields = self._pipeline(operand.pipeline, dot), operand.fields
        elif isinstance(operand, Function):
            return self._call(operand, Pipe((operand,), operand.at, operand.source), [])
        else:
            value = dot if operand.variable is None else self._variables.get(operand.variable)
            fields = operand.fields
        if arguments and not fields:
            raise self._error(operand, f"can't give arguments to {shown(value)}")
        before = ""
        for at, name in enumerate(fields, 1):
            given = arguments if at == len(fields) else ()
            if before in MAPS and isinstance(value, dict) and name not in value:
                value = NO_VALUE
            else:
                value = self._member(operand, value, name, given)
            before = name
        return value

    def _member(
        self, operand: Operand, value: object, name: str, arguments: tuple[object, ...]
    ) -> object:
        if value is NO_VALUE:
            return value
        if value is None:
            raise self._error(operand, f"nil data; no entry for key {_quoted(name)}")
        if not isinstance(value, dict):
            raise self._error(operand, f"can't evaluate field {name} in {shown(value)}")
        key = name if name in value else _other_spelling(value, name)
        if key is None:
            return self._absent(operand, value, name)
        member = value[key]
        if member is None:
            return NULLS.get(key)
        if not callable(member):
            if arguments:
                raise self._error(operand, f"{name} is not a method but has arguments")
            return member
        least, most = arity(member)
        if not least <= len(arguments) <= most:
            problem = f"wrong number of args for {name}: want {least} got {len(arguments)}"
            raise self._error(operand, problem)
        return member(*arguments)

    def _absent(self, operand: Operand, value: dict[str, object], name: str) -> object:
        if any(callable(member) for member in value.values()):
            problem = f"can't evaluate field {name} (there are {', '.join(sorted(value))})"
            raise self._error(operand, problem)
        if name not in LEFT_OUT:
            raise self._error(operand, f"map has no entry for key {_quoted(name)}")
        return LEFT_OUT[name]


def _quoted(name: str) -> str:
    return f'"{name}"'


def _other_spelling(value: dict[str, object], name: str) -> str | None:
    """Go's names differ from JSON's in their case: `.ID` is the key `Id`."""
    lower = name.lower()
    return next((key for key in value if key.lower() == lower), None)
