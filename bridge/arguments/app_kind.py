"""Check that an adapter gets an app of the kind that it wraps (A41, W56)."""

from __future__ import annotations

from typing import Literal, TypeAlias

from bridge.arguments.kinds import check_kind, other_kind, type_with_article
from bridge.errors import ConfigError, shown

Wrapped: TypeAlias = Literal["wsgi", "asgi3"]

#: What each adapter wraps, in words.
_WORDS: dict[Wrapped, str] = {"wsgi": "a WSGI app", "asgi3": "an ASGI app"}

#: What to do with an app of another kind: wanted kind -> seen kind -> advice.
_ADVICE: dict[Wrapped, dict[str, str]] = {
    "wsgi": {
        "asgi3": "an ASGI app, which every ASGI server takes as it is; WsgiToAsgi is for WSGI "
        "apps, and AsgiToWsgi makes WSGI of ASGI",
        "asgi2": "an ASGI 2 app; say from_asgi2(app), or as_asgi(app)",
        "asgi1": "an ASGI 1 consumer; say from_asgi1(app), or as_asgi(app)",
    },
    "asgi3": {
        "wsgi": "a WSGI app, which every WSGI host takes as it is; AsgiToWsgi is for ASGI apps, "
        "and WsgiToAsgi makes ASGI of WSGI",
        "asgi2": "an ASGI 2 app; say AsgiToWsgi(from_asgi2(app)), or as_wsgi(app)",
        "asgi1": "an ASGI 1 consumer; say AsgiToWsgi(from_asgi1(app)), or as_wsgi(app)",
    },
}


def check_app(app: object, kind: str | None, wanted: Wrapped) -> None:
    """Raise `ConfigError` if `app` is clearly not of the `wanted` kind.

    `kind`, which the caller gives, wins over what the app looks like.
    """
    words, advice = _WORDS[wanted], _ADVICE[wanted]
    if not callable(app):
        raise ConfigError(f"{words} is a callable, and {shown(app)} is {type_with_article(app)}")
    said = check_kind(kind)
    seen = other_kind(app, wanted) if said is None else said
    if seen in advice:
        raise ConfigError(
            f'{shown(app)} is {advice[seen]}. If it is {words} all the same, add kind="{wanted}"'
        )
