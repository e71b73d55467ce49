"""`FlaskSession`: what Flask writes it reads, and it writes what Flask would."""

from __future__ import annotations

import asyncio
import logging
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import flask
import httpx
import pytest
from fastapi import FastAPI, Request
from flask import Flask, session
from flask.json.tag import JSONTag, TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from bridge.errors import ConfigError
from bridge.sessions import FlaskSession
from bridge.sessions.tracked import Session
from bridge.types import Receive, Scope, Send
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.in_process import (
    Answer,
    ask,
    fields,
    http_scope,
    websocket_scope,
)

KEY = "a secret key"
OTHER = "another secret key"

Act = Callable[[Any], object]


def flask_app(act: Act = lambda session: None, **config: Any) -> flask.Flask:
    """A Flask app that does something with its session at each request."""
    app = flask.Flask("old")
    app.config.update({"SECRET_KEY": KEY, **config})

    @app.route("/")
    def view() -> str:
        act(flask.session)
        return "ok"

    return app


def asgi_app(act: Act, status: int = 200) -> Any:
    """An ASGI app that does the same."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        act(scope["session"])
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


def flask_fields(app: flask.Flask, cookie: str | None) -> tuple[list[str], list[str]]:
    """Set-Cookie and Vary of the Flask app's response."""
    client = app.test_client(use_cookies=False)
    response = client.get("/", headers={} if cookie is None else {"Cookie": cookie})
    return response.headers.getlist("Set-Cookie"), response.headers.getlist("Vary")


def seen(cookie: str, **settings: Any) -> dict[str, Any]:
    """The session that an app behind the middleware sees for this cookie."""
    found: list[dict[str, Any]] = []
    ask(
        FlaskSession(asgi_app(lambda s: found.append(s.copy())), **{"secret_key": KEY, **settings}),
        f"session={cookie}",
    )
    return found[0]


def signed(values: Any, key: str = KEY, salt: str = "cookie-session", **more: Any) -> str:
    """A cookie that is signed with `key`."""
    kwargs = {"key_derivation": "hmac", **more}
    return str(URLSafeTimedSerializer(key, salt=salt, signer_kwargs=kwargs).dumps(values))


def written(act: Act, **config: Any) -> str:
    """The cookie that Flask writes for a session."""
    ((cookie,), _) = flask_fields(flask_app(act, **config), None)
    return cookie.partition(";")[0].partition("=")[2]


# ------------------------------------------------------------- the same as Flask

ACTS: dict[str, Act] = {
    "nothing": lambda session: None,
    "read": lambda session: session.get("a"),
    "write": lambda session: session.update(b=(1, "ü"), a=b"\x00"),
    "large": lambda session: session.update(b=["text"] * 90),
    "clear": lambda session: session.clear(),
    "permanent": lambda session: setattr(session, "permanent", True),
    "nested": lambda session: session.get("list", []).append(1),
    "nested, said": lambda session: (session.get("list", []).append(1), mark(session)),
}

CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "flags": {
        "SESSION_COOKIE_NAME": "sid",
        "SESSION_COOKIE_DOMAIN": ".example.com",
        "SESSION_COOKIE_PATH": "/shop",
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": False,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_PARTITIONED": True,
    },
    "root": {"APPLICATION_ROOT": "/old", "PERMANENT_SESSION_LIFETIME": timedelta(hours=1)},
    "no refresh": {"SESSION_REFRESH_EACH_REQUEST": False},
    "seconds": {"PERMANENT_SESSION_LIFETIME": 60, "SECRET_KEY_FALLBACKS": [OTHER]},
}


def mark(session: Any) -> None:
    """Say that something within a value was changed."""
    session.modified = True


class Stopped(datetime):
    """A clock that stands."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        """The same time for all."""
        return datetime(2026, 3, 1, 12, tzinfo=tz)


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clocks of both sides stand, so that what they write can be compared."""
    stamp = TimestampSigner("x").get_timestamp()
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: stamp)
    monkeypatch.setattr("flask.sessions.datetime", Stopped)
    monkeypatch.setattr("bridge.sessions.flask.datetime", Stopped)


@pytest.mark.parametrize("start", [None, {"list": [0], "a": 1}, {"_permanent": True, "a": 1}, {}])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.usefixtures("one_second")
def test_fields_are_those_of_flask_byte_for_byte(config: dict[str, Any], start: Any) -> None:
    """M40: Set-Cookie and Vary, for each setting and each way to use a session."""
    name = config.get("SESSION_COOKIE_NAME", "session")
    cookie = None if start is None else f"{name}={signed(start)}"
    for what, act in ACTS.items():
        old = flask_app(act, **config)
        new = FlaskSession(asgi_app(act), flask_app=old)
        answer = ask(new, cookie)
        ours = fields(answer, "set-cookie"), fields(answer, "vary")
        assert ours == flask_fields(old, cookie), what


@pytest.mark.usefixtures("one_second")
def test_settings_by_hand_are_those_of_the_app() -> None:
    """M40: lower-case names of Flask's settings, or the app: both write the same."""
    config = CONFIGS["flags"]
    old = flask_app(**config)
    settings: Any = {key.lower(): value for key, value in config.items()}
    act = ACTS["write"]
    by_hand = ask(FlaskSession(asgi_app(act), KEY, **settings))
    by_app = ask(FlaskSession(asgi_app(act), flask_app=old))
    assert by_hand.messages == by_app.messages
    renamed = ask(FlaskSession(asgi_app(act), flask_app=old, session_cookie_name="mine"))
    assert fields(renamed, "set-cookie")[0].startswith("mine=")


def test_a_session_goes_from_flask_to_us_and_back() -> None:
    """M40: with each type that Flask knows, unchanged."""
    values = {
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "tuple": (1, (2,)),
        "bytes": b"\xff",
        "uuid": UUID(int=5),
        "html": Markup("<b>"),
        "_user_id": "42",
    }
    cookie = written(lambda session: session.update(values))
    assert seen(cookie) == values
    new = FlaskSession(asgi_app(lambda session: session.update(more=1)), KEY)
    back = fields(ask(new, f"session={cookie}"), "set-cookie")[0].partition(";")[0]
    found: list[Any] = []
    flask_fields(flask_app(lambda session: found.append(dict(session))), back)
    assert found == [{**values, "more": 1}]
    assert type(found[0]["html"]) is Markup


# ------------------------------------------------------------- cookies that are no log-in

GOOD = signed({"_user_id": "1"})

FORGED = {
    "another key": signed({"_user_id": "1"}, OTHER),
    "an empty key": signed({"_user_id": "1"}, ""),
    "another salt": signed({"_user_id": "1"}, salt="itsdangerous"),
    "another derivation": signed({"_user_id": "1"}, key_derivation="concat"),
    "not signed": GOOD.rpartition(".")[0],
    "no time": GOOD.split(".")[0],
    "cut": GOOD[:-1],
    "longer": GOOD + "A",
    "another payload": ".".join([signed({"_user_id": "2"}).split(".")[0], *GOOD.split(".")[1:]]),
    "another time": GOOD.replace(GOOD.split(".")[1], "aAAAAA"),
    "a list": signed(["_user_id"]),
    "a text": signed("_user_id"),
    "no JSON": signed({" u": "no uuid"}),
    "long": "a." * 30_000,
    "dots": "...",
    "not ASCII": "é.ü.ö",
    "quoted": '"\\377\\000"',
    "nothing": "",
}


@pytest.mark.parametrize("cookie", FORGED.values(), ids=FORGED)
def test_a_cookie_that_is_not_ours_is_an_empty_session(cookie: str) -> None:
    """M40: never an error, and never a log-in."""
    assert seen(GOOD) == {"_user_id": "1"}
    assert seen(cookie) == {}


@given(st.integers(0, len(GOOD) - 1), st.characters(max_codepoint=255, exclude_characters=";"))
def test_one_changed_character_is_enough(at: int, character: str) -> None:
    """M40: the session is the one that was signed, or none; base64 has a few ways to write it."""
    cookie = GOOD[:at] + character + GOOD[at + 1 :]
    assert FlaskSession(asgi_app(print), KEY).open(f"session={cookie}") in ({}, {"_user_id": "1"})


def test_an_old_cookie_is_an_empty_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """M40: as old as `permanent_session_lifetime` allows, or older, or from the future."""
    now = TimestampSigner("x").get_timestamp()
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: now - 61)
    cookie = signed({"a": 1})
    settings: Any = {"permanent_session_lifetime": timedelta(minutes=1)}
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: now - 1)
    assert seen(cookie, **settings) == {"a": 1}
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: now)
    assert seen(cookie, **settings) == {}
    assert seen(cookie) == {"a": 1}
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: now - 100)
    assert seen(cookie) == {}


def test_older_keys_are_read_and_not_written() -> None:
    """M40: `SECRET_KEY_FALLBACKS`: what they signed is read, and signed anew with the key."""
    old = signed({"a": 1}, OTHER)
    assert seen(old) == {}
    assert seen(old, secret_key_fallbacks=[OTHER]) == {"a": 1}
    new = FlaskSession(asgi_app(ACTS["permanent"]), KEY, secret_key_fallbacks=[OTHER, b"older"])
    cookie = fields(ask(new, f"session={old}"), "set-cookie")[0].partition(";")[0]
    assert seen(cookie.partition("=")[2]) == {"a": 1, "_permanent": True}


def test_of_two_cookies_the_first_counts() -> None:
    """M40: as in Flask, so that both apps see the same session."""
    text = f"session={signed({'a': 1})}; session={signed({'a': 2})}"
    assert FlaskSession(asgi_app(print), KEY).open(text) == {"a": 1}


# ------------------------------------------------------------- apps


async def visit(app: Any, times: int, cookie: str | None = None) -> list[httpx.Response]:
    """What a browser gets from an app, which may have a cookie at first."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://new") as browser:
        headers = {"Cookie": cookie} if cookie else {}
        return [await browser.get("/", headers=headers) for _ in range(times)]


def test_frameworks_take_it_as_their_own_middleware() -> None:
    """M40: FastAPI's `add_middleware`, Starlette's `Middleware`, and around any app."""
    fast = FastAPI()
    fast.add_middleware(FlaskSession, secret_key=KEY)

    @fast.get("/")
    def count(request: Request) -> int:
        request.session["count"] = request.session.get("count", 0) + 1
        return int(request.session["count"])

    async def show(request: Request) -> PlainTextResponse:
        return PlainTextResponse(repr(dict(request.session)))

    star = Starlette(middleware=[Middleware(FlaskSession, flask_app=flask_app())])
    star.add_route("/", show)
    counts = asyncio.run(visit(fast, 3))
    assert [response.json() for response in counts] == [1, 2, 3]
    (response,) = asyncio.run(visit(star, 1, counts[-1].headers["set-cookie"].partition(";")[0]))
    assert (response.text, response.headers["vary"]) == ("{'count': 3}", "Cookie")
    found = FlaskSession(fast, secret_key=KEY)
    assert repr(found) == f"FlaskSession({fast!r})"


def test_requests_at_the_same_time_have_sessions_of_their_own() -> None:
    """M40: one never sees the session of another."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        before = scope["session"].get("a")
        for _ in range(3):
            await asyncio.sleep(0)
        scope["session"]["b"] = before
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": repr(dict(scope["session"])).encode()})

    new = FlaskSession(app, KEY)

    async def all_of_them() -> list[Answer]:
        answers = [Answer([]) for _ in range(20)]

        async def one(number: int, answer: Answer) -> None:
            async def send(message: Any) -> None:
                answer.messages.append(message)

            cookie = f"session={signed({'a': number})}".encode()
            await new(http_scope("/", headers=[(b"cookie", cookie)]), None, send)  # type: ignore[arg-type]

        await asyncio.gather(*(one(*each) for each in enumerate(answers)))
        return answers

    for number, answer in enumerate(asyncio.run(all_of_them())):
        assert answer.body == repr({"a": number, "b": number}).encode()
        assert seen(fields(answer, "set-cookie")[0][8:].partition(";")[0])["b"] == number


def test_an_app_that_raises_writes_nothing() -> None:
    """M40: its error goes on, and what was sent before it is sent."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["a"] = 1
        raise RuntimeError("broken")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(FlaskSession(app, KEY)(http_scope("/"), None, send))  # type: ignore[arg-type]
    assert sent == []


def test_a_session_that_cannot_be_written_is_an_error_of_the_app() -> None:
    """M40: it is raised before anything was sent, with what a session can keep."""
    new = FlaskSession(asgi_app(lambda session: session.update(a=object())), KEY)
    with pytest.raises(TypeError, match="it keeps what JSON can express"):
        ask(new)


def test_the_app_s_own_cookies_stay() -> None:
    """M40: also one of the same name; the session's comes after it, as in Flask."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["a"] = 1
        headers = [(b"set-cookie", b"session=mine"), (b"vary", b"Accept")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    answer = ask(FlaskSession(app, KEY))
    first, second = fields(answer, "set-cookie")
    assert first == "session=mine"
    assert seen(second[8:].partition(";")[0]) == {"a": 1}
    assert fields(answer, "vary") == ["Accept, Cookie"]


def test_a_log_out_within_is_not_undone() -> None:
    """M40: the old app may be within; its cookie is the last one if nothing was changed here."""
    old = Flask("old")
    old.secret_key = KEY

    @old.get("/in")
    def log_in() -> str:
        session.permanent = True
        session["user"] = "ann"
        return ""

    @old.get("/out")
    def log_out() -> str:
        session.clear()
        return ""

    async def both() -> tuple[str, list[str]]:
        transport = httpx.ASGITransport(FlaskSession(WsgiToAsgi(old), flask_app=old))
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as browser:
            await browser.get("/in")
            logged_in = browser.cookies["session"]
            return logged_in, (await browser.get("/out")).headers.get_list("set-cookie")

    logged_in, cookies = asyncio.run(both())
    assert seen(logged_in)["user"] == "ann"
    assert len(cookies) == 1
    assert cookies[0].startswith("session=;")


def test_a_change_after_the_head_of_a_stream_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """M40: it cannot be written any more; what was changed before is."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["early"] = 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        scope["session"]["late"] = 1
        await send({"type": "http.response.body", "body": b""})

    answer = ask(FlaskSession(app, KEY))
    assert answer.body == b"onetwo"
    (cookie,) = fields(answer, "set-cookie")
    assert seen(cookie[8:].partition(";")[0]) == {"early": 1}
    assert "changed after the response to '/' had begun" in caplog.text


def test_a_cookie_that_browsers_drop_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """M40: it is sent, as by Flask, and its size is in the log."""
    text = random.Random(1).randbytes(4000).hex()
    with caplog.at_level(logging.WARNING):
        ask(FlaskSession(asgi_app(lambda session: session.update(a=text)), KEY))
    assert "browsers keep none above 4093" in caplog.text


# ------------------------------------------------------------- WebSockets, and other scopes


def socket_app(*before: Any, after: Act = lambda session: None) -> Any:
    """An app that answers a handshake with these messages."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope["session"]["seen"] = scope["session"].get("a")
        for message in before:
            await send(message)
        after(scope["session"])

    return app


def test_a_websocket_has_a_session(caplog: pytest.LogCaptureFixture) -> None:
    """M40: what is changed before it is accepted goes out with the handshake; later is too late."""
    accept = {"type": "websocket.accept", "headers": [(b"x-a", b"1")]}
    new = FlaskSession(socket_app(accept, after=lambda session: session.update(late=1)), KEY)
    answer = ask(new, f"session={signed({'a': 1})}", websocket_scope("/chat"))
    (cookie,) = fields(answer, "set-cookie", "websocket.accept")
    assert seen(cookie[8:].partition(";")[0]) == {"a": 1, "seen": 1}
    assert fields(answer, "vary", "websocket.accept") == []
    assert fields(answer, "x-a", "websocket.accept") == ["1"]
    assert "changed after the response to '/chat' had begun" in caplog.text


def test_a_handshake_that_is_refused_can_write_a_session() -> None:
    """M40: by a response; a plain refusal has no fields."""
    start = {"type": "websocket.http.response.start", "status": 403, "headers": []}
    answer = ask(FlaskSession(socket_app(start), KEY), None, websocket_scope("/"))
    assert fields(answer, "set-cookie", "websocket.http.response.start")
    closed = {"type": "websocket.close", "code": 1008}
    answer = ask(FlaskSession(socket_app(closed), KEY), None, websocket_scope("/"))
    assert answer.messages == [closed]


def test_a_lifespan_goes_to_the_app_as_it_is() -> None:
    """M40: it has no session."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)

    scope = {"type": "lifespan"}
    asyncio.run(FlaskSession(app, KEY)(scope, None, None))  # type: ignore[arg-type]
    assert scopes == [{"type": "lifespan"}]


# ------------------------------------------------------------- settings


class SecretStr:
    """A key as Pydantic keeps it."""

    def __str__(self) -> str:
        return "**********"

    def get_secret_value(self) -> str:
        """The key itself."""
        return KEY


def test_keys_may_be_hidden_in_objects() -> None:
    """M40: Starlette's `Secret`, Pydantic's `SecretStr`, and bytes are the key that they hide."""
    from starlette.datastructures import Secret

    for key in (SecretStr(), Secret(KEY), KEY.encode()):
        assert seen(GOOD, secret_key=key) == {"_user_id": "1"}


class Redis(SecureCookieSessionInterface):
    """Sessions that are kept elsewhere."""

    def open_session(self, app: Any, request: Any) -> Any: ...


class Tags(SecureCookieSessionInterface):
    """Flask's sessions with a type of the app's own."""

    serializer = TaggedJSONSerializer()


class TagComplex(JSONTag):
    """A complex number."""

    key = " c"

    def check(self, value: Any) -> bool:
        return isinstance(value, complex)

    def to_json(self, value: Any) -> Any:
        return str(value)

    def to_python(self, value: Any) -> Any:
        return complex(value)


Tags.serializer.register(TagComplex)


class Signing(SecureCookieSessionInterface):
    """Sessions of Flask's that are signed in another way."""

    salt = "mine"


def with_interface(interface: Any) -> flask.Flask:
    """A Flask app with another session interface."""
    app = flask_app()
    app.session_interface = interface
    return app


class Weekly(SecureCookieSessionInterface):
    """One that has its own time, and its own idea of when a cookie is sent."""

    def get_expiration_time(self, app: Any, session: Any) -> Any:
        return datetime(2030, 1, 7, tzinfo=UTC) if session.permanent else None

    def should_set_cookie(self, app: Any, session: Any) -> bool:
        return bool(session.modified or session.get("refresh"))


def test_an_interface_that_sends_otherwise_is_followed() -> None:
    """M40: when a cookie ends, and whether it is sent, are those of the app's interface."""
    cookie = None
    acts: tuple[Act, ...] = (
        lambda session: session.update(a=1, _permanent=True),
        lambda session: session.get("a"),
        lambda session: session.update(refresh=True),
    )
    for act in acts:
        old = flask_app(act)
        old.session_interface = Weekly()
        theirs = flask_fields(old, cookie)[0]
        ours = fields(ask(FlaskSession(asgi_app(act), flask_app=old), cookie), "set-cookie")
        assert ours == theirs
        cookie = cookie or ours[0].partition(";")[0]
    assert "07 Jan 2030" in ours[0]


def test_an_interface_that_signs_otherwise_is_followed() -> None:
    """M40: salt, digest and serializer are those of the app's `session_interface`."""
    cookie = signed({"a": 1}, salt="mine")
    assert seen(cookie, secret_key=None, flask_app=with_interface(Signing())) == {"a": 1}
    assert seen(cookie, salt="mine") == {"a": 1}


def test_tags_of_the_app_s_own_are_followed() -> None:
    """M40: what the app's serializer knows, both ways."""
    old = with_interface(Tags())
    new = FlaskSession(asgi_app(lambda session: session.update(c=1 + 2j, t=(1,))), flask_app=old)
    cookie = fields(ask(new), "set-cookie")[0].partition(";")[0]
    assert new.open(cookie) == {"c": 1 + 2j, "t": (1,)}


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "has no secret_key"),
    ({"secret_key": ""}, "secret_key is empty"),
    ({"secret_key": b" "}, "secret_key is empty"),
    ({"secret_key": "**********"}, "only asterisks"),
    ({"secret_key": 7}, "secret_key is of type int"),
    ({"secret_key": KEY, "secret_key_fallbacks": [""]}, "secret_key_fallbacks is empty"),
    ({"secret_key": KEY, "secret_key_fallbacks": OTHER}, "it is a list of older keys"),
    ({"secret_key": KEY, "permanent_session_lifetime": 0}, "at least one"),
    ({"secret_key": KEY, "permanent_session_lifetime": "1d"}, "timedelta or seconds"),
    ({"secret_key": KEY, "max_age": 5}, "does not know max_age; it knows secret_key_fallbacks"),
    ({"secret_key": KEY, "session_cookie_samesite": "x"}, "session_cookie_samesite is 'x'"),
    ({"secret_key": KEY, "flask_app": flask_app()}, "give one"),
    ({"flask_app": flask_app(), "salt": "x"}, "give one"),
    ({"flask_app": flask_app(SECRET_KEY=None)}, "has no SECRET_KEY"),
    ({"flask_app": flask_app(SECRET_KEY="*")}, "SECRET_KEY is only asterisks"),
    ({"flask_app": flask_app(SECRET_KEY_FALLBACKS=[""])}, "SECRET_KEY_FALLBACKS is empty"),
    ({"flask_app": "old:app"}, "flask_app is 'old:app'"),
    ({"flask_app": with_interface(Redis())}, "keeps its sessions by Redis"),
]


@pytest.mark.parametrize(("settings", "words"), BAD)
def test_settings_that_are_no_good_are_refused(settings: dict[str, Any], words: str) -> None:
    """M40: with an error that says what was seen; a key that anybody knows is none."""
    with pytest.raises(ConfigError, match=words):
        FlaskSession(asgi_app(print), **settings)


def test_the_app_must_be_one() -> None:
    """M40: the key is not the first argument."""
    with pytest.raises(ConfigError, match="its first argument is an ASGI app"):
        FlaskSession(KEY)  # type: ignore[arg-type]


def test_only_itsdangerous_is_needed() -> None:
    """M40: no Flask, no Werkzeug, no MarkupSafe, and nothing of the server."""
    hidden = "('flask', 'werkzeug', 'markupsafe')"
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({hidden}));"
        "from bridge.sessions import FlaskSession; FlaskSession(print, 'key');"
        "print(*(m for m in sys.modules if m.startswith(('bridge.server', 'bridge.runners'))))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_without_itsdangerous_the_error_says_what_to_install() -> None:
    """M40: the extra has its name."""
    code = (
        "import sys; sys.modules['itsdangerous'] = None\n"
        "import bridge\n"
        "try:\n"
        "    from bridge.sessions import FlaskSession\n"
        "except bridge.ConfigError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'asgi-bridge[flask]'" in run.stdout


def test_the_session_is_a_dict() -> None:
    """M40: for code that asks."""
    assert isinstance(FlaskSession(asgi_app(print), KEY).open(""), Session)
