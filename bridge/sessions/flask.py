"""`FlaskSession`: the session of a Flask app, for an ASGI app (M40).

Flask keeps a session in a cookie that is signed, not encrypted. Whoever has the secret key can read
and write it, so both apps do:

    app = FastAPI()
    app.add_middleware(FlaskSession, secret_key=SECRET_KEY)

What Flask-Login keeps is in there, too: ``request.session.get("_user_id")``. Only itsdangerous is
needed, not Flask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypedDict, Unpack, cast

from bridge.errors import ConfigError, shown
from bridge.log import logger
from bridge.sessions import tagged
from bridge.sessions.cookies import (
    OPENING,
    WITH_SESSION,
    Cookie,
    cookie_text,
    first_cookie,
    sets_cookie,
    warn_if_large,
    with_fields,
)
from bridge.sessions.tracked import Session
from bridge.types import ASGIApp, Message, Receive, Scope, Send

try:
    from itsdangerous import BadData, URLSafeTimedSerializer
except ImportError:
    raise ConfigError("FlaskSession needs itsdangerous: pip install 'asgi-bridge[flask]'") from None


class FlaskSettings(TypedDict, total=False):
    """What `FlaskSession` takes beside the key: Flask's settings, in lower case."""

    secret_key_fallbacks: Iterable[Any]
    session_cookie_name: str
    session_cookie_domain: str | None
    session_cookie_path: str | None
    session_cookie_secure: bool
    session_cookie_httponly: bool
    session_cookie_samesite: str | None
    session_cookie_partitioned: bool
    session_refresh_each_request: bool
    permanent_session_lifetime: timedelta | int
    #: What a subclass of Flask's `SecureCookieSessionInterface` may have changed.
    salt: str
    key_derivation: str
    digest_method: Callable[..., Any]


DEFAULTS: Final[FlaskSettings] = {
    "secret_key_fallbacks": (),
    "session_cookie_name": "session",
    "session_cookie_domain": None,
    "session_cookie_path": "/",
    "session_cookie_secure": False,
    "session_cookie_httponly": True,
    "session_cookie_samesite": None,
    "session_cookie_partitioned": False,
    "session_refresh_each_request": True,
    "permanent_session_lifetime": timedelta(days=31),
    "salt": "cookie-session",
    "key_derivation": "hmac",
}


class Signer(Protocol):
    """What signs a session, and checks that."""

    def dumps(self, obj: Any) -> str | bytes:
        """Return a session as the value of a cookie."""
        ...

    def loads(self, s: str, max_age: int) -> Any:
        """Return the session of such a value; raises `itsdangerous.BadData`."""
        ...


class FlaskSession:
    """An ASGI middleware that shares the session of a Flask app with `app`.

    Give it the app's `secret_key`, and other settings if they are not Flask's own defaults:
    `secret_key_fallbacks`, `session_cookie_name`, `session_cookie_domain`, `session_cookie_path`,
    `session_cookie_secure`, `session_cookie_httponly`, `session_cookie_samesite`,
    `session_cookie_partitioned`, `session_refresh_each_request`, `permanent_session_lifetime`. Or
    give it the app itself as `flask_app`: settings are read from it now, and others that are given
    come first. Raises `ConfigError`.
    """

    def __init__(
        self,
        app: ASGIApp,
        secret_key: Any = None,
        *,
        flask_app: Any = None,
        **settings: Unpack[FlaskSettings],
    ) -> None:
        _check_arguments(app, secret_key, flask_app, settings)
        self.app = app
        values: dict[str, Any] = {**DEFAULTS, **settings}
        self._signer: Signer
        if flask_app is not None:
            values = {**DEFAULTS, **_settings_of(flask_app), **settings}
            self._signer = _signer_of(flask_app)
        else:
            self._signer = _make_signer(secret_key, values)
        self._cookie = Cookie(
            path=values["session_cookie_path"] or "/",
            name=values["session_cookie_name"],
            **{
                key: values[f"session_cookie_{key}"]
                for key in ("domain", "secure", "httponly", "samesite", "partitioned")
            },
        )
        self._flask_app = flask_app
        self._own_should_set = _own_method(flask_app, "should_set_cookie")
        self._own_expiration = _own_method(flask_app, "get_expiration_time")
        self._refresh = bool(values["session_refresh_each_request"])
        self._lifetime = _lifetime(values["permanent_session_lifetime"])
        self._max_age = int(self._lifetime.total_seconds())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app with ``scope["session"]``; what it changes goes out with the response.

        What it changes later cannot: that is told in the log. So is a WebSocket's session, once it
        is accepted.
        """
        if scope["type"] not in WITH_SESSION:
            await self.app(scope, receive, send)
            return
        session = self.open(cookie_text(scope))
        opened = False

        async def send_with_session(message: Message) -> None:
            nonlocal opened
            if not opened and message["type"] in OPENING:
                opened = True
                message = self._with_session(message, session)
                session.modified = False
            await send(message)

        await self.app({**scope, "session": session}, receive, send_with_session)
        if opened and session.modified:
            logger.warning(
                "the session was changed after the response to %r had begun: the change is lost",
                scope["path"],
            )

    def __repr__(self) -> str:
        return f"FlaskSession({self.app!r})"

    def open(self, cookies: str) -> Session:
        """Return the session in the text of a Cookie field; an empty one if there is none.

        There is none either if the cookie is forged, too old, or no session at all.
        """
        value = first_cookie(cookies, self._cookie.name)
        if value:
            try:
                found = self._signer.loads(value, max_age=self._max_age)
            except BadData:
                return Session()
            if isinstance(found, dict):
                return Session(found)
        return Session()

    def _with_session(self, message: Message, session: Session) -> Message:
        """Return the message that begins a response with the session's fields, as Flask has it.

        If nothing was changed here, a cookie that the app itself sets stays the last: the old app
        may be within, and its log-out must not be undone by a refreshed session.
        """
        accessed, modified = session.accessed, session.modified
        values = dict(session)
        if not values:
            cookies = [self._cookie.delete()] if modified else []
        elif self._has_to_set(session) and (
            modified or not sets_cookie(message, self._cookie.name)
        ):
            cookies = [self._written(session, values)]
        else:
            cookies = []
        if not cookies and not accessed:
            return message
        return with_fields(message, cookies, vary=True)

    def _has_to_set(self, session: Session) -> bool:
        if self._own_should_set is not None:
            return bool(self._own_should_set(self._flask_app, session))
        return session.modified or (session.permanent and self._refresh)

    def _expires(self, session: Session) -> datetime | None:
        if self._own_expiration is not None:
            return cast("datetime | None", self._own_expiration(self._flask_app, session))
        return datetime.now(UTC) + self._lifetime if session.permanent else None

    def _written(self, session: Session, values: dict[str, Any]) -> bytes:
        text = self._signer.dumps(values)
        expires = self._expires(session)
        cookie = self._cookie.keep(text if isinstance(text, str) else text.decode(), expires)
        warn_if_large(self._cookie.name, cookie)
        return cookie


# ------------------------------------------------------------- settings


def _check_arguments(app: object, secret_key: Any, flask_app: Any, settings: Any) -> None:
    if not callable(app):
        raise ConfigError(f"FlaskSession was given {shown(app)}; its first argument is an ASGI app")
    signing = [name for name in ("salt", "key_derivation", "digest_method") if name in settings]
    if flask_app is not None:
        if secret_key is not None or "secret_key_fallbacks" in settings or signing:
            raise ConfigError(
                "FlaskSession was given flask_app and how to sign; the app knows its keys: give one"
            )
    elif secret_key is None:
        raise ConfigError(
            "FlaskSession has no secret_key; give it the Flask app's SECRET_KEY, or the app itself "
            "as flask_app"
        )
    unknown = settings.keys() - FlaskSettings.__annotations__.keys()
    if unknown:
        names = ", ".join(FlaskSettings.__annotations__)
        raise ConfigError(
            f"FlaskSession does not know {', '.join(sorted(unknown))}; it knows {names}"
        )


def _lifetime(value: Any) -> timedelta:
    if isinstance(value, int) and not isinstance(value, bool):
        value = timedelta(seconds=value)
    if not isinstance(value, timedelta) or value < timedelta(seconds=1):
        raise ConfigError(
            f"permanent_session_lifetime is {value!r}; it is a timedelta or seconds, at least one"
        )
    return value


def _key(value: Any, what: str) -> str | bytes:
    """Return a key as it is signed with. A key that is empty, or hidden, would sign for anybody."""
    if hasattr(value, "get_secret_value"):  # Pydantic's; str() of it is asterisks
        value = value.get_secret_value()
    elif type(value).__module__ == "starlette.datastructures":
        value = str(value)
    if not isinstance(value, str | bytes):
        raise ConfigError(f"{what} is of type {type(value).__name__}; it is text or bytes")
    if not value.strip():
        raise ConfigError(f"{what} is empty: anybody could sign sessions; set it as in Flask")
    if set(value) <= {"*", ord("*")}:
        raise ConfigError(f"{what} is only asterisks: a hidden text, and not the key itself")
    return value


class _Tagged:
    """Flask's JSON, as itsdangerous calls it."""

    dumps = staticmethod(tagged.dumps)
    loads = staticmethod(tagged.loads)


def _make_signer(secret_key: Any, values: dict[str, Any]) -> Signer:
    fallbacks = values["secret_key_fallbacks"] or ()
    if isinstance(fallbacks, str | bytes):
        raise ConfigError("secret_key_fallbacks is one text; it is a list of older keys")
    keys = [_key(each, "a key of secret_key_fallbacks") for each in fallbacks]
    keys.append(_key(secret_key, "secret_key"))  # the last one signs
    names = ("key_derivation", "digest_method")
    how: dict[str, Any] = {name: values[name] for name in names if name in values}
    return URLSafeTimedSerializer(
        keys,  # type: ignore[arg-type]
        salt=values["salt"],
        serializer=_Tagged,
        signer_kwargs=how,
    )


# ------------------------------------------------------------- settings of a Flask app


def _signer_of(flask_app: Any) -> Signer:
    """Return the app's own signer, with our JSON unless the app has tags of its own.

    Flask's JSON depends on the request that it is in, and writes keys in another order elsewhere.
    """
    signer = flask_app.session_interface.get_signing_serializer(flask_app)
    if signer is None:
        raise ConfigError(
            f"{flask_app!r} has no SECRET_KEY, and so no session; set it as for Flask"
        )
    json = signer.serializer
    if type(json).__module__ == "flask.json.tag" and json.tags.keys() == tagged.TAGS:
        signer.serializer = _Tagged
    return cast(Signer, signer)


def _own_method(flask_app: Any, name: str) -> Callable[..., Any] | None:
    """Return a method of the app's session interface, if it is not Flask's own."""
    interface = getattr(flask_app, "session_interface", None)
    method = getattr(interface, name, None)
    return None if getattr(method, "__module__", "flask.sessions") == "flask.sessions" else method


def _settings_of(flask_app: Any) -> dict[str, Any]:
    """Return the settings of a Flask app whose sessions are in signed cookies."""
    interface = getattr(flask_app, "session_interface", None)
    if interface is None:
        raise ConfigError(f"flask_app is {shown(flask_app)}; allowed is a Flask app")
    methods = [getattr(type(interface), name) for name in ("open_session", "save_session")]
    signs = hasattr(interface, "get_signing_serializer")
    if not signs or any(method.__module__ != "flask.sessions" for method in methods):
        raise ConfigError(
            f"{flask_app!r} keeps its sessions by {type(interface).__name__}; FlaskSession "
            "shares those that Flask itself keeps in signed cookies"
        )
    config = flask_app.config
    for number, key in enumerate([flask_app.secret_key, *(config["SECRET_KEY_FALLBACKS"] or ())]):
        if number or key:  # one that is not set is told of by `_signer_of`
            _key(key, "a key of SECRET_KEY_FALLBACKS" if number else "SECRET_KEY")
    parts = ("name", "domain", "path", "secure", "httponly", "samesite")
    found = {
        f"session_cookie_{part}": getattr(interface, f"get_cookie_{part}")(flask_app)
        for part in parts
    }
    return {
        **found,
        "session_cookie_partitioned": bool(config.get("SESSION_COOKIE_PARTITIONED")),
        "session_refresh_each_request": config["SESSION_REFRESH_EACH_REQUEST"],
        "permanent_session_lifetime": flask_app.permanent_session_lifetime,
    }
