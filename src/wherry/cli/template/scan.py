"""A template's text taken apart: texts and actions, and an action's words.

By hand, because importing `re` takes as long as all the rest of `wherry ps`.
"""

from __future__ import annotations

from wherry.cli.template.nodes import place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # Its kind, its text, and where it begins.
    Token = tuple[str, str, int]

_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_MARKS = (":=", ".", "|", "(", ")", ",", "=")


class TemplateSyntaxError(Exception):
    """The text is no template. Its words begin with where it stopped being one."""


def syntax_error(text: str, at: int, problem: str) -> TemplateSyntaxError:
    return TemplateSyntaxError(f"template: :{place(text, at)}: {problem}")


class Action:
    """What stands between braces: from `start` to `end` in the text; a comment has no code.

    `begin` and `after` are where the braces are, `left` and `right` whether they trim.
    """

    def __init__(self, text: str, begin: int) -> None:
        self.begin = begin
        self.left = text.startswith("{{-", begin) and text[begin + 3 : begin + 4].isspace()
        self.start = begin + (3 if self.left else 2)
        self.comment = text[self.start :].lstrip().startswith("/*")
        close = _close_of_comment(text, self) if self.comment else _close(text, self)
        self.right = text[close - 1] == "-" and text[close - 2].isspace()
        self.end = close - 1 if self.right else close
        self.after = close + 2


def actions(text: str) -> Iterator[Action]:
    """The actions one after the other. Raises TemplateSyntaxError for one without an end."""
    at = text.find("{{")
    while at >= 0:
        action = Action(text, at)
        yield action
        at = text.find("{{", action.after)


def _close_of_comment(text: str, action: Action) -> int:
    end = text.find("*/", action.start)
    close = text.find("}}", end)
    if end < 0 or close < 0:
        raise syntax_error(text, action.begin, "unclosed comment")
    if text[end + 2 : close].strip() not in ("", "-"):
        raise syntax_error(text, end, "comment ends before closing delimiter")
    return close


def _close(text: str, action: Action) -> int:
    at = action.start
    while at < len(text):
        if text.startswith("}}", at):
            return at
        at = _string_end(text, at) if text[at] in "\"'`" else at + 1
    raise syntax_error(text, action.begin, "unclosed action")


def _string_end(text: str, start: int) -> int:
    """Where a string that begins here is over."""
    quote = text[start]
    at = start + 1
    while at < len(text) and (text[at] != "\n" or quote == "`"):
        if text[at] == quote:
            return at + 1
        at += 2 if text[at] == "\\" and quote != "`" else 1
    kind = {'"': "quoted string", "`": "raw quoted string"}.get(quote, "character constant")
    raise syntax_error(text, start, f"unterminated {kind}")


def tokens(text: str, start: int, end: int) -> list[Token]:
    """The words from `start` to `end`, with the spaces between them."""
    found: list[Token] = []
    at = start
    while at < end:
        kind, after = _token(text, at, end)
        found.append((kind, text[at:after], at))
        at = after
    return found


def _token(text: str, at: int, end: int) -> tuple[str, int]:
    """The kind of what begins here, and where it is over."""
    char, following = text[at], text[at + 1 : min(at + 2, end)]
    if char.isspace():
        return "space", _while(text, at, end, str.isspace)
    if char in "\"`'":
        return "char" if char == "'" else "string", _string_end(text, at)
    digits = following if char in "+-." else char
    if digits.isdecimal() or (char in "+-" and following == "."):
        return "number", _number_end(text, at, end)
    if char == "." and _begins_name(following):
        return "fields", _fields_end(text, at, end)
    if char == "$":
        return "variable", _fields_end(text, _while(text, at + 1, end, _in_name), end)
    if _begins_name(char):
        return "word", _while(text, at, end, _in_name)
    mark = next((mark for mark in _MARKS if text.startswith(mark, at)), "")
    if not mark:
        raise syntax_error(text, at, f'unexpected "{char}" in command')
    return "mark", at + len(mark)


def _while(text: str, at: int, end: int, belongs: Callable[[str], bool]) -> int:
    while at < end and belongs(text[at]):
        at += 1
    return at


def _in_name(char: str) -> bool:
    return char.isalnum() or char == "_"


def _begins_name(char: str) -> bool:
    return char.isalpha() or char == "_"


def _fields_end(text: str, at: int, end: int) -> int:
    while at + 1 < end and text[at] == "." and _begins_name(text[at + 1]):
        at = _while(text, at + 1, end, _in_name)
    return at


def _number_end(text: str, at: int, end: int) -> int:
    start = at
    while at < end:
        exponent = text[at - 1] in "eE" and text[start : start + 2].lower() != "0x"
        signs = at == start or (exponent and at > start)
        if not (_in_name(text[at]) or text[at] == "." or (signs and text[at] in "+-")):
            break
        at += 1
    return at


def number(text: str) -> int | float:
    """Raises ValueError for what only begins as a number."""
    try:
        return int(text, 0)
    except ValueError:
        return float(text)


def unquote(text: str) -> str:
    """What a string or a character in quotes means."""
    if text.startswith("`"):
        return text[1:-1]
    before, *parts = text[1:-1].split("\\")
    pieces = [before]
    escaped = False
    for part in parts:
        if escaped or not part:
            # A backslash after a backslash is meant.
            pieces.append(part if escaped else "\\")
            escaped = not escaped and not part
        else:
            pieces.append(_unescaped(part))
    return "".join(pieces)


def _unescaped(text: str) -> str:
    """What comes after a backslash."""
    length = {"x": 2, "u": 4, "U": 8}.get(text[0], 0)
    code = text[1 : 1 + length]
    if length and len(code) == length and all(char in "0123456789abcdefABCDEF" for char in code):
        return chr(int(code, 16)) + text[1 + length :]
    return _ESCAPED.get(text[0], text[0]) + text[1:]
