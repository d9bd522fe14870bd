"""A template's text made a tree. The grammar is that of https://pkg.go.dev/text/template.

Not there: `define`, `template`, `block`, and complex and character literals.
"""

from __future__ import annotations

import re


class TemplateSyntaxError(Exception):
    """The text is no template."""


# The nodes are plain classes: `dataclasses` would cost more than all the rest of `wherry ps`.


class Text:
    def __init__(self, text: str) -> None:
        self.text = text


class Literal:
    def __init__(self, value: str | float | bool | None) -> None:
        self.value = value


class Reference:
    """`.`, `$` or `$name`, and the fields after it. `variable` is None for the dot."""

    def __init__(self, variable: str | None, fields: tuple[str, ...]) -> None:
        self.variable = variable
        self.fields = fields


class Function:
    def __init__(self, name: str) -> None:
        self.name = name


class Group:
    """A pipeline in parentheses, and the fields after it."""

    def __init__(self, pipeline: Pipeline, fields: tuple[str, ...]) -> None:
        self.pipeline = pipeline
        self.fields = fields


class Pipeline:
    """Commands whose results feed the next; `variables` receive the last result."""

    def __init__(
        self, commands: tuple[tuple[Operand, ...], ...], variables: tuple[str, ...]
    ) -> None:
        self.commands = commands
        self.variables = variables


class Branch:
    """`if`, `with` or `range`: what is asked, the body, and the body of `else`."""

    def __init__(self, word: str, pipeline: Pipeline) -> None:
        self.word = word
        self.pipeline = pipeline
        self.body: Template = []
        self.otherwise: Template = []


Operand = Literal | Reference | Function | Group
Node = Text | Pipeline | Branch
Template = list[Node]

_ACTION = re.compile(r"\{\{(?P<left>-(?=\s))?(?P<code>.*?)(?P<right>(?<=\s)-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
      | (?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?))
      | (?P<fields>(?:\.\w+)+)
      | (?P<variable>\$\w*(?:\.\w+)*)
      | (?P<word>[^\W\d]\w*)
      | (?P<mark>:=|[.|(),=])
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([abfnrtv\\\"'0]))")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_WORDS = {"true": True, "false": False, "nil": None}
_NOT_SUPPORTED = ("define", "template", "block", "break", "continue")


def parse_template(text: str) -> Template:
    """The tree of `text`. Raises TemplateSyntaxError, with what is wrong, in one sentence."""
    root: Template = []
    open_branches: list[tuple[Branch, Template]] = []
    current = root
    for piece in _pieces(text):
        if isinstance(piece, Text):
            current.append(piece)
            continue
        word, _, rest = piece.partition(" ")
        if word in ("if", "with", "range"):
            branch = Branch(word, _pipeline(rest))
            current.append(branch)
            open_branches.append((branch, current))
            current = branch.body
        elif word == "else":
            current = _open_else(open_branches, rest.strip())
        elif piece == "end":
            if not open_branches:
                raise TemplateSyntaxError("unexpected {{end}}")
            current = open_branches.pop()[1]
        elif word in _NOT_SUPPORTED:
            raise TemplateSyntaxError(f"{{{{{word}}}}} is not supported here")
        else:
            current.append(_pipeline(piece))
    if open_branches:
        raise TemplateSyntaxError(f"{{{{{open_branches[-1][0].word}}}}} has no {{{{end}}}}")
    return root


def _open_else(open_branches: list[tuple[Branch, Template]], rest: str) -> Template:
    if not open_branches:
        raise TemplateSyntaxError("unexpected {{else}}")
    branch, outer = open_branches.pop()
    if not rest:
        open_branches.append((branch, outer))
        return branch.otherwise
    # `else if` is an `if` inside the `else`, which the same `end` closes.
    word, _, condition = rest.partition(" ")
    if word not in ("if", "with"):
        raise TemplateSyntaxError(f"unexpected {rest!r} after {{{{else}}}}")
    inner = Branch(word, _pipeline(condition))
    branch.otherwise.append(inner)
    open_branches.append((inner, outer))
    return inner.body


def _pieces(text: str) -> list[Text | str]:
    """Texts, and the code between braces; `{{-` and `-}}` have trimmed the texts beside them."""
    pieces: list[Text | str] = []
    at = 0
    trim = False
    for match in _ACTION.finditer(text):
        before = text[at : match.start()]
        at = match.end()
        before = before.lstrip() if trim else before
        before = before.rstrip() if match["left"] else before
        trim = bool(match["right"])
        if before:
            pieces.append(Text(before))
        code = match["code"].strip()
        if not (code.startswith("/*") and code.endswith("*/")):
            pieces.append(" ".join(code.split()) if '"' not in code and "`" not in code else code)
    after = text[at:].lstrip() if trim else text[at:]
    if "{{" in after:
        raise TemplateSyntaxError("unclosed action")
    if after:
        pieces.append(Text(after))
    return pieces


def _pipeline(code: str) -> Pipeline:
    return _Parser(_tokens(code)).pipeline()


def _tokens(code: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(code):
        match = _TOKEN.match(code, at)
        if match is None:
            raise TemplateSyntaxError(f"unexpected {code[at]!r} in {code!r}")
        kind = match.lastgroup or ""
        tokens.append((kind, match[0]))
        at = match.end()
    if not tokens:
        raise TemplateSyntaxError("missing value for command")
    return [*tokens, ("end", "")]


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def pipeline(self) -> Pipeline:
        """A pipeline up to the end of the action."""
        pipeline = self._parts(self._variables())
        if self._peek()[0] != "end":
            raise TemplateSyntaxError(f"unexpected {self._peek()[1]!r}")
        return pipeline

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at]

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _skip_space(self) -> None:
        while self._peek()[0] == "space":
            self._at += 1

    def _variables(self) -> tuple[str, ...]:
        start = self._at
        names: list[str] = []
        self._skip_space()
        while self._peek()[0] == "variable":
            names.append(self._next()[1])
            self._skip_space()
            mark = self._peek()[1]
            if mark not in (",", ":=", "="):
                break
            self._at += 1
            self._skip_space()
            if mark != ",":
                return tuple(names)
        self._at = start
        return ()

    def _parts(self, variables: tuple[str, ...]) -> Pipeline:
        commands = [self._command()]
        while self._peek()[1] == "|":
            self._at += 1
            commands.append(self._command())
        return Pipeline(tuple(commands), variables)

    def _command(self) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        self._skip_space()
        while self._peek()[0] != "end" and self._peek()[1] not in ("|", ")"):
            operands.append(self._operand())
            self._skip_space()
        if not operands:
            raise TemplateSyntaxError("missing value for command")
        return tuple(operands)

    def _operand(self) -> Operand:
        kind, text = self._next()
        if kind == "string":
            return Literal(_unquote(text))
        if kind == "number":
            return Literal(_number(text))
        if kind == "fields":
            return Reference(None, tuple(text[1:].split(".")))
        if kind == "variable":
            name, *fields = text.split(".")
            return Reference(name, tuple(fields))
        if kind == "word":
            return Literal(_WORDS[text]) if text in _WORDS else Function(text)
        if text == ".":
            return Reference(None, ())
        if text == "(":
            return self._group()
        raise TemplateSyntaxError(f"unexpected {text!r}")

    def _group(self) -> Group:
        pipeline = self._parts(())
        if self._next()[1] != ")":
            raise TemplateSyntaxError("unclosed left paren")
        fields: tuple[str, ...] = ()
        if self._peek()[0] == "fields":
            fields = tuple(self._next()[1][1:].split("."))
        return Group(pipeline, fields)


def _number(text: str) -> int | float:
    try:
        return int(text, 0)
    except ValueError:
        return float(text)


def _unquote(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]

    def replace(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        return chr(int(code, 16)) if code else _ESCAPED.get(match[3], match[3])

    return _ESCAPE.sub(replace, text[1:-1])
