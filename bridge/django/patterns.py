"""Routes of a URLconf as regular expressions that match at least what the routes match.

Such an expression only says which paths *may* belong to a route, so what cannot be written down
exactly becomes "anything": expressions that look behind or back, whose meaning changes when they
stand behind a prefix, and classes of patterns that are not Django's own.

What one route of a chain takes is never given back to try another way (``(?>...)``). Django does
not do that either, and for a long path there would be too many ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
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
#: The name of a group; an escaped character is taken too, as its parenthesis opens nothing.
_GROUP_NAME: Final = re.compile(r"(\\.)|\(\?P<\w+>", re.DOTALL)
#: What has no ``|`` outside of all groups: a group here has no group in it.
_CLASS: Final = r"\[\^?\]?(?:\\.|[^\]\\])*+\]"
_NO_TOP_LEVEL_OR: Final = re.compile(
    rf"(?s:\\.|{_CLASS}|[^|()\\\[]|\((?:\\.|{_CLASS}|[^()\\\[])*+\))*+"
)


def text_of(pattern: Any, *, endpoint: bool) -> str:
    """Return the expression for what `pattern`, the one of a route, takes off a path.

    `endpoint`: it is the last one of its route.
    """
    kind = type(pattern)
    if kind is LocalePrefixPattern:
        return _either(map(re.escape, _prefixes(pattern.prefix_default_language)))
    if kind is RoutePattern:
        texts = _texts(pattern, pattern._route, lambda: pattern.regex.pattern)
        return _either(_of_route(text, endpoint) for text in texts)
    if kind is RegexPattern:
        texts = _texts(pattern, pattern._regex, lambda: pattern.regex.pattern)
        return _either(_of_regex(text, endpoint) for text in texts)
    return ANYTHING


def _prefixes(prefix_default_language: bool) -> Iterator[str]:
    """Yield what stands before the routes of `i18n_patterns`."""
    for code in language_codes():
        has_none = code == settings.LANGUAGE_CODE and not prefix_default_language
        yield "" if has_none else f"{code}/"


def _texts(pattern: Any, given: object, read: Any) -> Iterator[str]:
    """Yield what `read` says, in each language if the route was translated."""
    if isinstance(given, str):
        yield read()
        return
    for code in language_codes():
        with translation.override(code):
            yield read()


def language_codes() -> list[str]:
    """Return the languages that may be active, the usual one first."""
    return list(dict.fromkeys([settings.LANGUAGE_CODE, *(code for code, _ in settings.LANGUAGES)]))


def _of_route(text: str, endpoint: bool) -> str:
    r"""Return what stands for a ``path()``, of which Django makes ``^...\Z``."""
    inner = _without_names(text.removeprefix("^").removesuffix(r"\Z"))
    return inner if inner == ANYTHING else rf"{inner}\Z" if endpoint else f"(?>{inner})"


def _of_regex(text: str, endpoint: bool) -> str:
    """Return what stands for a ``re_path()``, which is searched for, and so may begin anywhere."""
    body = text.removeprefix("^")
    if _NO_TOP_LEVEL_OR.fullmatch(body) is None:  # a ``^`` holds for one side only
        return ANYTHING
    inner = _without_names(body)
    if inner == ANYTHING:
        return ANYTHING
    inner = inner if text.startswith("^") else f"(?s:.*?){inner}"
    return inner if endpoint else f"(?>{inner})"


def _without_names(text: str) -> str:
    """Return an expression whose groups have no names, since others may have the same ones."""
    if _NEEDS_ITS_PLACE.search(text) or "^" in text.replace("[^", ""):
        return ANYTHING
    made = f"(?:{_GROUP_NAME.sub(lambda found: found[1] or '(?:', text)})"
    try:
        re.compile(made)
    except re.error:
        return ANYTHING  # it stands on its own only
    return made


def _either(texts: Iterable[str]) -> str:
    """Return what takes any of them; each may be tried, for languages can share a beginning."""
    found = dict.fromkeys(texts)
    return ANYTHING if ANYTHING in found else f"(?:{'|'.join(found)})"
