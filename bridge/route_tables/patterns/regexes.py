"""Take a route that is a regular expression (Django's `re_path`) apart into texts and holes.

``^articles/(?P<year>[0-9]{4})/$`` is two segments, and can be compared with other routes. What
cannot be taken apart becomes one hole, which may be anything.
"""

from __future__ import annotations

import re

from bridge.route_tables.patterns.tokens import Hole, Token

_NAMED = re.compile(r"\(\?P<(\w+)>")
_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})[?+]?")
_ESCAPED_CLASS = "dDwWsS"
_ANYTHING = Hole("", ".*")


def tokens_of_regex(regex: str, *, is_end: bool) -> tuple[list[Token], bool]:
    """Return the tokens of `regex`, and whether a slash at its end is optional.

    `is_end`: it is a route, and no prefix of others: if it has no ``$``, more may follow.
    """
    body = regex.removeprefix("^").removeprefix(r"\A")
    anchored = body != regex
    ends = body.endswith(("$", r"\Z", r"\z")) and not body.endswith(r"\$")
    if ends:
        body = body[:-1] if body.endswith("$") else body[:-2]
    optional = ends and is_end and body.endswith("/?")
    tokens = _split(body.removesuffix("/?") if optional else body)
    if tokens is None:
        tokens, optional = [Hole("", f"(?:{body})")], False
    if not anchored:
        tokens.insert(0, _ANYTHING)
    if is_end and not ends:
        tokens.append(_ANYTHING)
    return tokens, optional


def _split(body: str) -> list[Token] | None:
    """Return the tokens of an expression without anchors; None if it is too much."""
    tokens: list[Token] = []
    at = 0
    while at < len(body):
        end, text = _atom(body, at)
        if end is None:
            return None
        quantifier = _QUANTIFIER.match(body, end)
        if text is not None and quantifier is None:
            tokens.append(text)
            at = end
            continue
        after = quantifier.end() if quantifier else end
        tokens.append(_hole(body[at:end], body[end:after]))
        at = after
    return tokens


def _hole(atom: str, quantifier: str) -> Hole:
    name = _NAMED.match(atom)
    if name and not quantifier:
        return Hole(name[1], atom[name.end() : -1])
    if atom.startswith("(") and not atom.startswith("(?") and not quantifier:
        return Hole("", atom[1:-1])
    # A name may occur once in an expression, and this one may be put beside others.
    return Hole(name[1] if name else "", _NAMED.sub("(?:", atom) + quantifier)


def _atom(body: str, at: int) -> tuple[int | None, str | None]:
    """Return the end of the atom at `at`, and its text if it is written out; None if it is odd."""
    first = body[at]
    if first == "\\":
        escaped = body[at + 1 : at + 2]
        if escaped in _ESCAPED_CLASS:
            return (at + 2, None) if escaped else (None, None)
        return (None, None) if escaped.isalnum() else (at + 2, escaped)
    if first == "[":
        return _end_of_class(body, at), None
    if first == "(":
        return _end_of_group(body, at), None
    if first in "|^$)":
        return None, None
    return at + 1, None if first == "." else first


def _end_of_class(body: str, at: int) -> int | None:
    end = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]").match(body, at)
    return end.end() if end else None


def _end_of_group(body: str, at: int) -> int | None:
    """Return the end of the group at `at`; None if it looks ahead or back, or does not end."""
    if re.compile(r"\((?!\?P<|\?:|[^?])").match(body, at):
        return None
    depth = 0
    while at < len(body):
        character = body[at]
        if character == "\\":
            at += 1
        elif character == "[":
            at = (_end_of_class(body, at) or len(body)) - 1
        depth += {"(": 1, ")": -1}.get(character, 0)
        at += 1
        if depth == 0:
            return at
    return None
