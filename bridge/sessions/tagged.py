"""JSON as in Flask's session cookies: with tags for what JSON does not know (M40).

A tuple is ``{" t": [...]}`` there, bytes are ``{" b": "base64"}``. It is Flask's
`TaggedJSONSerializer`, so that a new app needs itsdangerous only; the tests compare the two.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from bridge.sessions.cookies import http_date

if TYPE_CHECKING:
    from markupsafe import Markup
else:
    try:
        from markupsafe import Markup
    except ImportError:

        class Markup(str):
            """Text that is HTML already, where MarkupSafe is not installed."""

            def __html__(self) -> str:
                return self


def dumps(value: Any) -> str:
    """Return `value` as JSON. Raises TypeError for what neither JSON nor a tag can express."""
    return json.dumps(_tag(value), separators=(",", ":"), sort_keys=True, default=_untagged)


def loads(text: str) -> Any:
    """Return what `dumps` was given; ValueError, TypeError or KeyError if that is impossible."""
    return _untag(json.loads(text))


# ------------------------------------------------------------- out


def _tag(value: Any) -> Any:
    """Put tags into a value, in Flask's order: the first that fits is it."""
    if isinstance(value, dict):
        if len(value) == 1:
            (key,) = value
            if key in _UNTAG:  # would be taken for a tag
                return {" di": {f"{key}__": _tag(value[key])}}
        return {key: _tag(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return {" t": [_tag(each) for each in value]}
    if isinstance(value, list):
        return [_tag(each) for each in value]
    if isinstance(value, bytes):
        return {" b": b64encode(value).decode("ascii")}
    if callable(getattr(value, "__html__", None)):
        return {" m": str(value.__html__())}
    if isinstance(value, UUID):
        return {" u": value.hex}
    if isinstance(value, datetime):
        return {" d": http_date(value)}
    return value


def _untagged(value: Any) -> Any:
    """Return what Flask's JSON makes of types without a tag: they come back as text."""
    if isinstance(value, date):
        return http_date(datetime.combine(value, time(), tzinfo=UTC))
    if isinstance(value, Decimal):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(
        f"a session cannot keep {value!r}; it keeps what JSON can express, tuples, bytes, "
        "datetime, UUID and Markup"
    )


# ------------------------------------------------------------- in


def _untag(value: Any) -> Any:
    if isinstance(value, list):
        return [_untag(each) for each in value]
    if isinstance(value, dict):
        found = {key: _untag(each) for key, each in value.items()}
        if len(found) == 1:
            (key,) = found
            if key in _UNTAG:
                return _UNTAG[key](found[key])
        return found
    return value


def _untag_dict(value: dict[str, Any]) -> dict[str, Any]:
    key = next(iter(value))
    return {key[:-2]: value[key]}


def _untag_datetime(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


#: Tag -> what makes the value of it.
_UNTAG: Final[dict[str, Callable[[Any], Any]]] = {
    " di": _untag_dict,
    " t": tuple,
    " b": b64decode,
    " m": Markup,
    " u": UUID,
    " d": _untag_datetime,
}

TAGS: Final = frozenset(_UNTAG)
