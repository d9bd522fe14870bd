"""A template's text made a tree. The grammar is that of https://pkg.go.dev/text/template.

Not there: `define`, `template`, `block`, and complex literals. An error says where it is as Go
does when it executes a template; of one that it can't parse, Go names only the line.
"""

from __future__ import annotations

import itertools

from wherry.cli.template.functions import FUNCTIONS
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
    Reference,
    Template,
    Text,
)
from wherry.cli.template.scan import actions, number, syntax_error, tokens, unquote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.template.scan import Token

_WORDS = {"true": True, "false": False, "nil": None}
_KEYWORDS = ("if", "with", "range", "else", "end", "break", "continue")
_NOT_SUPPORTED = ("define", "template", "block")


def parse_template(text: str) -> Template:
    """The tree of `text`. Raises TemplateSyntaxError, with what is wrong, in one sentence."""
    return _Reader(text).template()


class _Reader:
    """Reads the actions one after the other, and keeps those branches that are open."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._root: Body = []
        self._current = self._root
        # Each with the body around it, and where it was opened.
        self._open: list[tuple[Branch, Body, int]] = []
        self._variables = {"$"}

    def template(self) -> Template:
        at = 0
        trim = False
        for action in actions(self._text):
            self._take_text(self._text[at : action.begin], trim, action.left)
            at, trim = action.after, action.right
            if not action.comment:
                self._take_action(action.start, action.end)
        self._take_text(self._text[at:], trim, False)
        if self._open:
            branch, _, opened = self._open[-1]
            raise syntax_error(self._text, opened, f"{{{{{branch.word}}}}} has no {{{{end}}}}")
        return Template(self._text, self._root)

    def _take_text(self, text: str, trim_left: bool, trim_right: bool) -> None:
        text = text.lstrip() if trim_left else text
        text = text.rstrip() if trim_right else text
        if text:
            self._current.append(Text(text))

    def _take_action(self, start: int, end: int) -> None:
        words = _words(self._text, start, end)
        kind, word, at = words[0]
        if kind != "word":
            self._current.append(_Parser(self._text, words, self._variables).pipeline("command"))
        elif word in ("if", "with", "range"):
            self._open_branch(word, words[1:], at, self._current)
        elif word == "else":
            self._open_else(words[1:], at)
        elif word == "end":
            if not self._open:
                raise syntax_error(self._text, at, "unexpected {{end}}")
            self._expect_end(words[1], "end")
            self._current = self._open.pop()[1]
        elif word in ("break", "continue"):
            if not any(branch.word == "range" for branch, _, _ in self._open):
                raise syntax_error(self._text, at, f"{{{{{word}}}}} outside {{{{range}}}}")
            self._expect_end(words[1], word)
            self._current.append(Leave(word))
        elif word in _NOT_SUPPORTED:
            raise syntax_error(self._text, at, f"{{{{{word}}}}} is not supported here")
        else:
            self._current.append(_Parser(self._text, words, self._variables).pipeline("command"))

    def _open_branch(self, word: str, words: list[Token], at: int, outer: Body) -> None:
        branch = Branch(word, _Parser(self._text, words, self._variables).pipeline(word))
        self._current.append(branch)
        self._open.append((branch, outer, at))
        self._current = branch.body

    def _open_else(self, words: list[Token], at: int) -> None:
        if not self._open:
            raise syntax_error(self._text, at, "unexpected {{else}}")
        branch, outer, opened = self._open.pop()
        self._current = branch.otherwise
        kind, word, _ = words[0]
        if kind == "end":
            self._open.append((branch, outer, opened))
        elif word in ("if", "with"):
            # It is an `if` inside the `else`, which the same `end` closes.
            self._open_branch(word, words[1:], opened, outer)
        else:
            raise syntax_error(self._text, at, f"unexpected {word!r} after {{{{else}}}}")

    def _expect_end(self, token: Token, word: str) -> None:
        kind, text, at = token
        if kind != "end":
            raise syntax_error(self._text, at, f'unexpected "{text}" in {word}')


def _words(text: str, start: int, end: int) -> list[Token]:
    """The code between braces, without spaces at its edges, and an `end` after it."""
    found = tokens(text, start, end)
    while found and found[-1][0] == "space":
        found.pop()
    if found and found[0][0] == "space":
        del found[0]
    if not found:
        raise syntax_error(text, start, "missing value for command")
    # A keyword's space after it means nothing to those who look at the word after that.
    if len(found) > 1 and found[1][0] == "space" and found[0][1] in _KEYWORDS:
        del found[1]
    return [*found, ("end", "", end)]


class _Parser:
    """One action's tokens made a pipeline."""

    def __init__(self, text: str, words: list[Token], variables: set[str]) -> None:
        self._text = text
        self._known = variables
        self._tokens = [token for token in words if token[0] != "space"]
        # Where a space precedes: `.a .b` are two operands, `(x).b` is one.
        self._spaced = {
            following[2] for token, following in itertools.pairwise(words) if token[0] == "space"
        }
        self._at = 0

    def pipeline(self, what: str) -> Pipeline:
        """A pipeline up to the end of the action, `what` it is the value for."""
        pipeline = self._parts(self._variables(), what)
        kind, text, at = self._peek()
        if kind != "end":
            problem = "unexpected right paren" if text == ")" else f'unexpected "{text}"'
            raise syntax_error(self._text, at, problem)
        return pipeline

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        if token[0] != "end":
            self._at += 1
        return token

    def _variables(self) -> tuple[str, ...]:
        start = self._at
        names: list[str] = []
        while self._peek()[0] == "variable":
            names.append(self._next()[1])
            mark = self._peek()[1]
            if mark not in (",", ":=", "="):
                break
            self._at += 1
            if mark != ",":
                self._known.update(names)
                return tuple(names)
        self._at = start
        return ()

    def _parts(self, variables: tuple[str, ...], what: str) -> Pipeline:
        commands = [self._command(what)]
        while self._peek()[1] == "|":
            self._at += 1
            command = self._command("command")
            first = command.operands[0]
            if isinstance(first, Literal):
                stage = len(commands) + 1
                problem = f"non executable command in pipeline stage {stage}"
                raise syntax_error(self._text, first.at, problem)
            commands.append(command)
        return Pipeline(tuple(commands), variables)

    def _command(self, what: str) -> Pipe:
        operands: list[Operand] = []
        at = end = self._peek()[2]
        while self._peek()[0] != "end" and self._peek()[1] not in ("|", ")"):
            operands.append(self._operand())
            _, text, begin = self._tokens[self._at - 1]
            end = begin + len(text)
        if not operands:
            raise syntax_error(self._text, at, f"missing value for {what}")
        return Pipe(tuple(operands), at, self._text[at:end])

    def _operand(self) -> Operand:
        kind, text, at = self._next()
        if kind in ("string", "char", "number"):
            return Literal(self._literal(kind, text, at), at, text)
        if kind == "fields":
            fields = tuple(text[1:].split("."))
            return Reference(None, fields, at + _chain(fields), text)
        if kind == "variable":
            name, *fields_after = text.split(".")
            if name not in self._known:
                raise syntax_error(self._text, at, f'undefined variable "{name}"')
            shift = len(name) if fields_after else 0
            return Reference(name, tuple(fields_after), at + shift, text)
        if kind == "word":
            return self._word(text, at)
        if text == ".":
            return Reference(None, (), at, text)
        if text == "(":
            return self._group(at)
        raise syntax_error(self._text, at, f'unexpected "{text}" in operand')

    def _word(self, text: str, at: int) -> Operand:
        if text in _WORDS:
            return Literal(_WORDS[text], at, text)
        if text not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS))
            problem = f'function "{text}" not defined (known: {known})'
            raise syntax_error(self._text, at, problem)
        return Function(text, at)

    def _literal(self, kind: str, text: str, at: int) -> str | float:
        if kind == "string":
            return unquote(text)
        if kind == "char":
            char = unquote(text)
            if len(char) != 1:
                raise syntax_error(self._text, at, f"malformed character constant: {text}")
            return ord(char)
        try:
            return number(text)
        except ValueError:
            problem = f'bad number syntax: "{text}"'
            raise syntax_error(self._text, at, problem) from None

    def _group(self, at: int) -> Group:
        pipeline = self._parts((), "parenthesized pipeline")
        _, text, end = self._next()
        if text != ")":
            raise syntax_error(self._text, at, "unclosed left paren")
        fields: tuple[str, ...] = ()
        if self._peek()[0] == "fields" and self._peek()[2] not in self._spaced:
            _, text, begin = self._next()
            fields = tuple(text[1:].split("."))
            return Group(pipeline, fields, begin, self._text[at : begin + len(text)])
        return Group(pipeline, fields, at, self._text[at : end + 1])


def _chain(fields: tuple[str, ...]) -> int:
    """Go says of `.A.B` that it stands where its second part does."""
    return len(fields[0]) + 1 if len(fields) > 1 else 0
