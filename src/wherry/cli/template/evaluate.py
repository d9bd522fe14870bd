"""A template's tree rendered over data: documents made of JSON's types, or rows of a list."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.cli.template.functions import FUNCTIONS, FunctionError, shown, truth
from wherry.cli.template.parse import (
    Branch,
    Function,
    Group,
    Literal,
    Operand,
    Pipeline,
    Reference,
    Template,
    TemplateSyntaxError,
    Text,
)


class TemplateError(Exception):
    """The template asks for what the data does not have."""


def render(template: Template, data: object) -> str:
    """The text of `template` over `data`, where fields are keys of mappings.

    A member that can be called is called. Raises TemplateError for a field that isn't there and
    for what a function refuses.
    """
    pieces: list[str] = []
    _Rendering(data, pieces).run(template, data)
    return "".join(pieces)


def check_functions(template: Template) -> None:
    """Raise TemplateSyntaxError if `template` calls what does not exist."""
    for node in template:
        if isinstance(node, Pipeline):
            _check_pipeline(node)
        elif isinstance(node, Branch):
            _check_pipeline(node.pipeline)
            check_functions(node.body)
            check_functions(node.otherwise)


def _check_pipeline(pipeline: Pipeline) -> None:
    for command in pipeline.commands:
        for operand in command:
            if isinstance(operand, Function) and operand.name not in FUNCTIONS:
                known = ", ".join(sorted(FUNCTIONS))
                raise TemplateSyntaxError(f'function "{operand.name}" not defined (known: {known})')
            if isinstance(operand, Group):
                _check_pipeline(operand.pipeline)


class _Rendering:
    def __init__(self, root: object, pieces: list[str]) -> None:
        self._variables: dict[str, object] = {"$": root}
        self._pieces = pieces

    def run(self, template: Template, dot: object) -> None:
        for node in template:
            if isinstance(node, Text):
                self._pieces.append(node.text)
            elif isinstance(node, Pipeline):
                value = self._pipeline(node, dot)
                if not node.variables:
                    self._pieces.append(shown(value))
            else:
                self._branch(node, dot)

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
        value = self._pipeline(branch.pipeline, dot)
        pairs: list[tuple[object, object]]
        if isinstance(value, Mapping):
            pairs = [(key, value[key]) for key in sorted(value)]
        elif isinstance(value, (list, tuple)):
            pairs = list(enumerate(value))
        elif isinstance(value, int) and not isinstance(value, bool):
            pairs = [(number, number) for number in range(value)]
        elif value is None:
            pairs = []
        else:
            raise TemplateError(f"range can't iterate over {shown(value)}")
        variables = branch.pipeline.variables
        for pair in pairs:
            chosen = pair if len(variables) > 1 else pair[1:]
            self._variables.update(zip(variables, chosen, strict=False))
            self.run(branch.body, pair[1])
        if not pairs:
            self.run(branch.otherwise, dot)

    def _pipeline(self, pipeline: Pipeline, dot: object) -> object:
        fed: tuple[object, ...] = ()
        for command in pipeline.commands:
            fed = (self._command(command, dot, fed),)
        if pipeline.variables:
            self._variables[pipeline.variables[-1]] = fed[0]
        return fed[0]

    def _command(
        self, command: tuple[Operand, ...], dot: object, fed: tuple[object, ...]
    ) -> object:
        first, *others = command
        arguments = [self._operand(other, dot, ()) for other in others]
        arguments += fed
        if not isinstance(first, Function):
            return self._operand(first, dot, tuple(arguments))
        try:
            return FUNCTIONS[first.name](*arguments)
        except FunctionError as error:
            raise TemplateError(str(error)) from error
        except (TypeError, IndexError) as error:
            raise TemplateError(f"wrong arguments for {first.name}") from error

    def _operand(self, operand: Operand, dot: object, arguments: tuple[object, ...]) -> object:
        fields: tuple[str, ...] = ()
        if isinstance(operand, Literal):
            value: object = operand.value
        elif isinstance(operand, Group):
            value, fields = self._pipeline(operand.pipeline, dot), operand.fields
        elif isinstance(operand, Function):
            return self._command((operand,), dot, ())
        else:
            value, fields = self._start(operand, dot), operand.fields
        for name in fields[:-1]:
            value = _member(value, name, ())
        if fields:
            return _member(value, fields[-1], arguments)
        if arguments:
            raise TemplateError(f"can't give arguments to {shown(value)}")
        return value

    def _start(self, reference: Reference, dot: object) -> object:
        if reference.variable is None:
            return dot
        if reference.variable not in self._variables:
            raise TemplateError(f'undefined variable "{reference.variable}"')
        return self._variables[reference.variable]


def _member(value: object, name: str, arguments: tuple[object, ...]) -> object:
    if value is None:
        raise TemplateError(f"nil has no field {name}")
    if not isinstance(value, Mapping):
        raise TemplateError(f"can't evaluate field {name} in {shown(value)}")
    key = name if name in value else _other_spelling(value, name)
    member = value[key]
    if not callable(member):
        if arguments:
            raise TemplateError(f"{name} has arguments but cannot be invoked as function")
        return member
    try:
        return member(*arguments)
    except TypeError as error:
        raise TemplateError(f"wrong number of arguments for {name}") from error


def _other_spelling(value: Mapping[str, object], name: str) -> str:
    """Go's names differ from JSON's in their case: `.ID` is the key `Id`."""
    for key in value:
        if key.lower() == name.lower():
            return key
    raise TemplateError(f"map has no entry for key {name!r}")
