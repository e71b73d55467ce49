r"""Patterns of paths, as Starlette and FastAPI write them: ``/invoices/{id}`` (M1). Pure.

    {id}  {id:str}       one segment or a part of it, not empty, without a slash
    {id:int} {x:float} {key:uuid}
    {rest:path}          anything, slashes too; once in a pattern

As with Starlette a pattern takes whole paths, as they are after percent-decoding: ``%2F`` is a
slash then. Upper and lower case differ, ``//`` is not ``/``, ``/invoices`` does not take
``/invoices/``, and ``/api/{rest:path}`` takes ``/api/``, but not ``/api``: name both.

What a client sends cannot make a match of the usual kinds slow: see `_regex`.
"""

from __future__ import annotations

import re
from typing import Final

from bridge.errors import ConfigError

_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::([A-Za-z_]\w*))?\}", re.ASCII)
_SEGMENT: Final = "[^/]+"
#: What a parameter of each type takes.
_TYPES: Final = {
    "str": _SEGMENT,
    "int": "[0-9]+",
    "float": r"[0-9]+(?:\.[0-9]+)?",
    "uuid": "[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}",
    "path": ".*",
}
_ENCODED: Final = re.compile("%[0-9A-Fa-f]{2}")
_FLASK: Final = re.compile(r"<(?:(\w+):)?(\w+)>")
_FLASK_TYPES: Final = {"string": "", "int": ":int", "float": ":float", "path": ":path"}


class Pattern:
    """One pattern. Raises `ConfigError`, which says what is wrong and how it is written."""

    __slots__ = ("first", "regex", "text")

    def __init__(self, text: object) -> None:
        self.text = _check_text(text)
        pieces = _split(self.text)
        #: The same as a regular expression for the whole path.
        self.regex = _regex(pieces)
        literal = pieces[0].partition("/")[2]
        segment, slash, _ = literal.partition("/")
        #: The first segment of all paths that it takes; None if it takes several.
        self.first: str | None = segment if slash or len(pieces) == 1 else None

    def takes(self, path: str) -> bool:
        """Whether it takes `path`, which is decoded."""
        return re.fullmatch(self.regex, path, re.DOTALL) is not None

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def _check_text(text: object) -> str:
    if not isinstance(text, str) or not text.startswith("/"):
        raise ConfigError(f"the path {text!r} is no pattern; write one such as /invoices/{{id}}")
    wrong = f"the path {text!r} takes no request: "
    if _FLASK.search(text):
        instead = _FLASK.sub(lambda seen: f"{{{seen[2]}{_FLASK_TYPES.get(seen[1], '')}}}", text)
        raise ConfigError(f"{wrong}it is written as in Flask or Django; write {instead}")
    if "*" in text:
        raise ConfigError(f"{wrong}a * stands for itself; for all below, write /path/{{rest:path}}")
    if text[0] == "^" or text[-1] == "$":
        raise ConfigError(
            f"{wrong}it looks like a regular expression; write it as /invoices/{{id}}"
        )
    for mark, what in (("?", "the query"), ("#", "a fragment")):
        if mark in text:
            raise ConfigError(
                f"{wrong}{what} is no part of a path; leave away what begins at {mark}"
            )
    if encoded := _ENCODED.search(text):
        raise ConfigError(
            f"{wrong}paths are compared decoded; write the character that {encoded[0]} stands for"
        )
    if not text.isprintable():
        raise ConfigError(f"{wrong}it has a character that cannot be printed")
    return text


def _split(text: str) -> list[str]:
    """Split a pattern into literal texts (at even places) and the types of its parameters."""
    pieces, names, at = [], [], 0
    for found in _PARAMETER.finditer(text):
        name, kind = found[1], found[2] or "str"
        if kind not in _TYPES:
            raise ConfigError(
                f"{{{name}:{kind}}} in the path {text!r} has a type that is not known; there are "
                f"{', '.join(_TYPES)}"
            )
        if name in names:
            raise ConfigError(
                f"the path {text!r} has {{{name}}} twice; give each a name of its own"
            )
        if found.start() == at and at:
            raise ConfigError(
                f"in the path {text!r} {found[0]} follows another one at once; "
                "nothing says where the one ends and the other begins"
            )
        names.append(name)
        pieces += [text[at : found.start()], kind]
        at = found.end()
    pieces.append(text[at:])
    if any(mark in piece for piece in pieces[::2] for mark in "{}"):
        raise ConfigError(
            f"the path {text!r} has a brace that is no parameter; write {{name}} or {{name:type}} "
            f"with one of {', '.join(_TYPES)}"
        )
    if pieces[1::2].count("path") > 1:
        raise ConfigError(f"the path {text!r} has more than one {{name:path}}; one is allowed")
    return pieces


def _regex(pieces: list[str]) -> str:
    """Make the expression.

    If a parameter has others behind it in its segment, its shortest match is as good as any longer
    one, so that one alone is tried (``(?>...)``).
    """
    parts = [re.escape(pieces[0])]
    for at in range(1, len(pieces), 2):
        kind, literal = pieces[at], pieces[at + 1]
        follows = at + 2 < len(pieces) and pieces[at + 2] == "str" and "/" not in literal
        if kind == "str" and follows:
            parts.append(f"(?>{_SEGMENT}?{re.escape(literal)})")
        else:
            parts += [_TYPES[kind], re.escape(literal)]
    return "".join(parts)
