"""Routes of a URLconf as regular expressions that match at least what the routes match.

Such an expression only says which paths *may* belong to a route, so what cannot be written down
exactly becomes "anything": expressions that look behind or back, whose meaning changes when they
stand behind a prefix, and classes of patterns that are not Django's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings
from django.urls.resolvers import LocalePrefixPattern, RegexPattern, RoutePattern
from django.utils import translation

ANYTHING: Final = "(?s:.*)"

#: Changes its meaning behind a prefix, or beside other expressions: anchors, numbers and names of
#: groups, flags of the whole, what looks behind.
_NEEDS_ITS_PLACE: Final = re.compile(
    r"\\[0-9AbBZz]|\(\?(?:P=|\(|<[=!]|[aiLmsux]+\))|\(\?P?<(?![=!]).*\(\?P="
)
_GROUP_NAME: Final = re.compile(r"\(\?P<\w+>")


def text_of(pattern: Any, *, endpoint: bool) -> str:
    """Return the expression for what `pattern`, the one of a route, takes off a path.

    `endpoint`: it is the last one of its route.
    """
    kind = type(pattern)
    if kind is LocalePrefixPattern:
        return _either(_in_each_language(lambda: re.escape(pattern.language_prefix)))
    if kind is RoutePattern:
        texts = _texts(pattern, pattern._route, lambda: pattern.regex.pattern)
        return _either(_of_route(text, endpoint) for text in texts)
    if kind is RegexPattern:
        texts = _texts(pattern, pattern._regex, lambda: pattern.regex.pattern)
        return _either(_of_regex(text, endpoint) for text in texts)
    return ANYTHING


def _texts(pattern: Any, given: object, read: Any) -> Iterator[str]:
    """Yield what `read` says, in each language if the route was translated."""
    return iter([read()]) if isinstance(given, str) else _in_each_language(read)


def language_codes() -> list[str]:
    """Return the languages that may be active, the usual one first."""
    return list(dict.fromkeys([settings.LANGUAGE_CODE, *(code for code, _ in settings.LANGUAGES)]))


def _in_each_language(read: Any) -> Iterator[str]:
    for code in language_codes():
        with translation.override(code):
            yield read()


def _of_route(text: str, endpoint: bool) -> str:
    r"""Return what stands for a ``path()``, of which Django makes ``^...\Z``."""
    return _without_names(text.removeprefix("^").removesuffix(r"\Z")) + (r"\Z" if endpoint else "")


def _of_regex(text: str, endpoint: bool) -> str:
    """Return what stands for a ``re_path()``, which is searched for, and so may begin anywhere."""
    anchored = text.startswith("^")
    body = text.removeprefix("^")
    if _has_top_level_or(body):
        return ANYTHING
    inner = _without_names(body)
    if inner == ANYTHING:
        return ANYTHING
    start = "" if anchored else ANYTHING
    return start + inner + (ANYTHING if endpoint and not body.endswith("$") else "")


def _without_names(text: str) -> str:
    """Return an expression whose groups have no names, since others may have the same ones."""
    if _NEEDS_ITS_PLACE.search(text) or "^" in text.replace("[^", ""):
        return ANYTHING
    return f"(?:{_GROUP_NAME.sub('(?:', text)})"


def _has_top_level_or(text: str) -> bool:
    """Whether there is a ``|`` outside of all groups, so that a ``^`` holds for one side only."""
    return "|" in text and not re.fullmatch(r"(?:[^|()]|\([^()]*\))*", text)


def _either(texts: Iterator[str]) -> str:
    return f"(?:{'|'.join(dict.fromkeys(texts))})"
