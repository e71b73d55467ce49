"""`DjangoSession`, compared with Django's own middleware."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.backends import db, signed_cookies
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.core import signing
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import override_settings
from starlette.responses import PlainTextResponse, StreamingResponse

from bridge.errors import ConfigError
from bridge.sessions import DjangoSession
from bridge.sessions.django.engine import with_connections
from bridge.types import Receive, Scope, Send
from tests.support.django_project import ENGINES, engine
from tests.support.in_process import (
    REQUEST,
    Answer,
    ask,
    fields,
    http_scope,
    talk,
    websocket_scope,
)

NAMES = ["db", "cache", "cached_db", "file", "signed_cookies"]

Act = Callable[[Any], object]


def asgi_app(act: Act, status: int = 200) -> Any:
    """An ASGI app that does something with its session; in a thread, so that all of it may wait."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(with_connections, act, scope["session"])
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


def run(app: Any, cookie: str | None = None, scope: Scope | None = None, **options: Any) -> Answer:
    """What the app, in the middleware, answers a request with this Cookie field."""
    return ask(DjangoSession(app, **options), cookie, scope)


def django_fields(act: Act, cookie: str | None, status: int = 200) -> tuple[list[str], list[str]]:
    """Set-Cookie and Vary of Django's own middleware."""

    def view(request: Any) -> HttpResponse:
        act(request.session)
        return HttpResponse("ok", status=status)

    request = RequestFactory().get("/", **({} if cookie is None else {"HTTP_COOKIE": cookie}))
    response = SessionMiddleware(view)(request)
    cookies = [each.OutputString() for each in response.cookies.values()]
    return cookies, [response["Vary"]] if "Vary" in response else []


def stored(**values: Any) -> str:
    """The key of a session that is kept with these values."""
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store.update(values)
    store.save()
    return str(store.session_key)


def kept(key: str) -> dict[str, Any]:
    """What is kept under a key."""
    return dict(import_module(settings.SESSION_ENGINE).SessionStore(key).items())


def key_of(set_cookie: str) -> str:
    """The key in a Set-Cookie value."""
    return re.sub("^[^=]*=", "", set_cookie.partition(";")[0])


@pytest.fixture(params=NAMES)
def each_engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each engine of Django's in turn."""
    with override_settings(SESSION_ENGINE=ENGINES + request.param):
        yield request.param


# ------------------------------------------------------------- the same as Django


def mark(session: Any) -> None:
    """Say that something within a value was changed."""
    session["list"].append(1)
    session.modified = True


ACTS: dict[str, Act] = {
    "nothing": lambda session: None,
    "read": lambda session: session.get("a"),
    "write": lambda session: session.update({"b": "ü"}),
    "clear": lambda session: session.clear(),
    "flush": lambda session: session.flush(),
    "cycle": lambda session: session.cycle_key(),
    "nested": lambda session: session.setdefault("list", []).append(1),
    "marked": lambda session: (session.setdefault("list", []), mark(session)),
    "for a minute": lambda session: session.set_expiry(60),
    "for a week": lambda session: session.set_expiry(timedelta(days=7)),
    "until the browser ends": lambda session: session.set_expiry(0),
    "saved": lambda session: (session.update({"b": 1}), session.save()),
}

CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "flags": {
        "SESSION_COOKIE_NAME": "sid",
        "SESSION_COOKIE_DOMAIN": ".example.com",
        "SESSION_COOKIE_PATH": "/shop",
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": False,
        "SESSION_COOKIE_SAMESITE": "None",
        "SESSION_COOKIE_AGE": 100,
    },
    "each time": {"SESSION_SAVE_EVERY_REQUEST": True, "SESSION_COOKIE_NAME": "__Host-s"},
    "browser": {"SESSION_EXPIRE_AT_BROWSER_CLOSE": True, "SESSION_COOKIE_SAMESITE": False},
}


def without_keys(found: tuple[list[str], list[str]]) -> tuple[list[str], list[str]]:
    """What was sent, without keys, which are random; an empty one stays."""
    return [re.sub("=[^;]+", "=KEY", each, count=1) for each in found[0]], found[1]


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clocks of both sides stand, so that what they write can be compared."""
    monkeypatch.setattr("time.time", lambda: 1_900_000_000.0)


COOKIES = {
    "none": lambda: None,
    "kept": lambda: stored(a=1, list=[0]),
    "empty": lambda: stored(),
    "unknown": lambda: "abcdefghijklmnopqrstuvwxyz012345",
    "short": lambda: "abc",
}


#: Each engine, and one with each of the settings.
COMPARED = [("plain", name) for name in NAMES] + [(config, "db") for config in CONFIGS]


@pytest.mark.usefixtures("one_second")
@pytest.mark.parametrize("cookie", COOKIES)
@pytest.mark.parametrize(("config", "name"), COMPARED[1:])
def test_fields_are_those_of_django_byte_for_byte(config: str, cookie: str, name: str) -> None:
    """M40: Set-Cookie and Vary, for each engine, each setting and each way to use a session."""
    with override_settings(SESSION_ENGINE=ENGINES + name, **CONFIGS[config]):
        for what, act in ACTS.items():
            for status in (200, 500) if what == "write" else (200,):
                keys = COOKIES[cookie](), COOKIES[cookie]()
                name = settings.SESSION_COOKIE_NAME
                ours, theirs = (key if key is None else f"{name}={key}" for key in keys)
                answer = run(asgi_app(act, status), ours)
                found = fields(answer, "set-cookie"), fields(answer, "vary")
                try:
                    expected = django_fields(act, theirs, status)
                except SessionInterrupted:  # as if the session had been there
                    assert (what, cookie) == ("clear", "unknown")
                    expected = django_fields(ACTS["read"], theirs)
                assert without_keys(found) == without_keys(expected), (what, status)


def test_a_session_goes_from_django_to_us_and_back(each_engine: str) -> None:
    """M40: the same values on both sides, also after a new key."""
    seen: list[Any] = []
    first = django_fields(lambda session: session.update({"a": [1, "ü"]}), None)[0][0]

    def act(session: Any) -> None:
        seen.append(dict(session))
        session["b"] = 2
        session.cycle_key()

    (second,) = fields(run(asgi_app(act), f"sessionid={key_of(first)}"), "set-cookie")
    assert kept(key_of(second)) == {"a": [1, "ü"], "b": 2}
    assert seen == [{"a": [1, "ü"]}]
    if each_engine != "signed_cookies":
        assert key_of(second) != key_of(first)
        assert kept(key_of(first)) == {}
    run(asgi_app(lambda session: session.flush()), f"sessionid={key_of(second)}")
    if each_engine != "signed_cookies":
        assert kept(key_of(second)) == {}


# ------------------------------------------------------------- cookies that are no log-in


def signed(key: str, salt: str) -> str:
    """A log-in that was signed with this key and salt."""
    signer = signing.TimestampSigner(key=key, salt=salt, fallback_keys=[])
    return str(signer.sign_object({"_auth_user_id": "1"}))


FORGED = {
    "unknown": "abcdefghijklmnopqrstuvwxyz012345",
    "short": "abc",
    "empty": "",
    "long": "a" * 30_000,
    "a path": "../../../../etc/passwd",
    "blanks": "a b c d e f g h",
    "not ASCII": "ééééééééééé",
    "a zero": '"\\000\\000\\000\\000\\000\\000\\000\\000\\000"',
    "new lines": '"aaaaaaaaaaaa\\012\\015"',
    "quotes": "'; drop table django_session; --",
    "colons": "eyJhIjoxfQ:1tX:abc",
    "another salt": signed("a key of the tests", "x"),
    "another key": signed("x", ENGINES + "signed_cookies"),
}


@pytest.mark.filterwarnings("ignore::django.core.cache.CacheKeyWarning")
@pytest.mark.parametrize("forged", FORGED)
def test_a_cookie_that_nobody_gave_is_an_empty_session(forged: str, each_engine: str) -> None:
    """M40: never an error, never a log-in, and its key is never taken (no fixation)."""
    seen: list[Any] = []

    def act(session: Any) -> None:
        seen.append(dict(session))
        session["a"] = 1

    answer = run(asgi_app(act), f"sessionid={FORGED[forged]}")
    assert (answer.status, seen) == (200, [{}])
    (cookie,) = fields(answer, "set-cookie")
    assert key_of(cookie) != FORGED[forged]
    assert kept(key_of(cookie)) == {"a": 1}


def test_an_expired_session_is_an_empty_one(each_engine: str, monkeypatch: Any) -> None:
    """M40: whatever the browser sends."""
    seen: list[Any] = []
    with override_settings(SESSION_COOKIE_AGE=-5):
        key = stored(a=1)
        run(asgi_app(lambda session: seen.append(dict(session))), f"sessionid={key}")
    assert seen == [{}]


def test_older_keys_are_read_and_not_written() -> None:
    """M40: `SECRET_KEY_FALLBACKS`, for sessions in signed cookies."""
    seen: list[Any] = []
    with override_settings(SESSION_ENGINE=ENGINES + "signed_cookies"):
        key = stored(a=1)
        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]):
            run(asgi_app(lambda session: seen.append(dict(session))), f"sessionid={key}")
        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
            answer = run(asgi_app(lambda session: session.update(b=2)), f"sessionid={key}")
        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]):
            assert kept(key_of(fields(answer, "set-cookie")[0])) == {"a": 1, "b": 2}
    assert seen == [{}]


# ------------------------------------------------------------- requests


def test_a_session_that_another_request_has_deleted_is_refused(
    each_engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    """M40: 400, as in Django, and the session does not come back; the app's answer is dropped."""
    if each_engine == "signed_cookies":
        return  # nothing is kept that could be deleted
    key = stored(a=1)

    def act(session: Any) -> None:
        import_module(settings.SESSION_ENGINE).SessionStore(key).delete()
        session["b"] = 2

    for method, body in (("GET", b"Bad Request: the session"), ("HEAD", b"")):
        scope = http_scope("/", method=method)
        answer = run(asgi_app(act), f"sessionid={key}", scope)
        assert (answer.status, answer.body[:24]) == (400, body)
        assert fields(answer, "set-cookie") == []
        assert kept(key) == {}
        key = stored(a=1)
    assert "was deleted meanwhile" in caplog.text


@pytest.mark.parametrize("streams", [False, True])
def test_an_app_whose_request_was_refused_ends(streams: bool) -> None:
    """M40: a stream that nobody gets does not go on: its `send` raises."""
    key, sent = stored(a=1), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            while len(sent) < 100:
                sent.append(1)
                yield b"x"

        scope["session"]["b"] = 2
        await asyncio.to_thread(with_connections, db.SessionStore(key).delete)
        response = StreamingResponse(pieces()) if streams else PlainTextResponse("ok")
        await response(scope, receive, send)

    assert run(app, f"sessionid={key}").status == 400
    assert len(sent) == streams


def test_other_errors_of_an_app_whose_request_was_refused_are_its_own() -> None:
    """M40: only what `send` raised is kept back."""
    key = stored(a=1)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["b"] = 2
        await asyncio.to_thread(with_connections, db.SessionStore(key).delete)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run(app, f"sessionid={key}")


def test_what_was_not_touched_is_not_written_over(each_engine: str) -> None:
    """M40: with `SESSION_SAVE_EVERY_REQUEST`, what another one has written meanwhile stays."""
    if each_engine == "signed_cookies":
        return  # the cookie is all that there is
    key = stored(cart=[1])

    def other(change: Act) -> Any:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            store = import_module(settings.SESSION_ENGINE).SessionStore(key)
            await asyncio.to_thread(with_connections, change, store)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})

        return app

    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        more = other(lambda store: (store.update({"cart": [1, 2]}), store.save()))
        answer = run(more, f"sessionid={key}")
        assert key_of(fields(answer, "set-cookie")[0]) == key
        assert kept(key) == {"cart": [1, 2]}
        answer = run(other(lambda store: store.delete()), f"sessionid={key}")
        assert answer.status == 200
        assert fields(answer, "set-cookie")[0].startswith('sessionid=""')


def test_nothing_waits_on_the_loop() -> None:
    """M40: what reads and writes the store runs in a thread, one for all, or side by side."""
    threads: set[int] = set()

    class Store(db.SessionStore):
        __qualname__ = "SessionStore"  # of which the salt is made

        def load(self) -> Any:
            threads.add(threading.get_ident())
            return super().load()

        def save(self, must_create: bool = False) -> None:
            threads.add(threading.get_ident())
            super().save(must_create)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["session"]["a"] == 1
        scope["session"]["b"] = 2
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    key = stored(a=1)
    with engine(Store) as name, override_settings(SESSION_ENGINE=name):
        run(app, f"sessionid={key}")
        run(app, f"sessionid={key}", thread_sensitive=False)
    assert kept(key) == {"a": 1, "b": 2}
    assert threads
    assert threading.get_ident() not in threads


def test_async_methods_of_an_engine_s_own_are_awaited() -> None:
    """M40: a store with an async client needs no thread."""
    calls: list[str] = []
    memory: dict[str, Any] = {"a" * 32: {"a": 1}}

    class Store(db.SessionStore):
        async def aload(self) -> Any:
            calls.append("aload")
            return memory[self.session_key]

        async def asave(self, must_create: bool = False) -> None:
            calls.append("asave")
            memory[self.session_key] = self._session_cache

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["b"] = 2
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    with engine(Store) as name, override_settings(SESSION_ENGINE=name):
        run(app, "sessionid=" + "a" * 32)
    assert calls == ["aload", "asave"]
    assert memory == {"a" * 32: {"a": 1, "b": 2}}


def test_requests_at_the_same_time_have_sessions_of_their_own() -> None:
    """M40: one never sees the session of another."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        before = scope["session"]["a"]
        await asyncio.sleep(0)
        scope["session"]["b"] = before
        await send({"type": "http.response.start", "status": 200, "headers": []})

    keys = [stored(a=number) for number in range(8)]

    async def all_of_them() -> None:
        new = DjangoSession(app)

        async def send(message: Any) -> None: ...

        scopes = [
            http_scope("/", headers=[(b"cookie", f"sessionid={key}".encode())]) for key in keys
        ]
        await asyncio.gather(*(new(scope, None, send) for scope in scopes))  # type: ignore[arg-type]

    asyncio.run(all_of_them())
    assert [kept(key) for key in keys] == [{"a": number, "b": number} for number in range(8)]


def test_an_app_that_raises_saves_nothing() -> None:
    """M40: its error goes on."""
    key = stored(a=1)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["a"] = 2
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        run(app, f"sessionid={key}")
    assert kept(key) == {"a": 1}


def test_the_app_s_own_cookies_and_vary_stay() -> None:
    """M40: the session's come after them."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["a"] = 1
        headers = [(b"set-cookie", b"x=1"), (b"vary", b"Accept")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    answer = run(app)
    first, second = fields(answer, "set-cookie")
    assert first == "x=1"
    assert kept(key_of(second)) == {"a": 1}
    assert fields(answer, "vary") == ["Accept, Cookie"]


def test_a_change_after_the_head_of_a_stream_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """M40: unless the app saves it itself, which it can."""
    late: list[Act] = [lambda session: session.update(b=2)]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        for act in late:
            result: Any = await asyncio.to_thread(with_connections, act, scope["session"])
            if result is not None:
                await result
        await send({"type": "http.response.body", "body": b"two"})

    key = stored(a=1)
    assert run(app, f"sessionid={key}").body == b"onetwo"
    assert "the change is lost" in caplog.text
    assert kept(key) == {"a": 1}
    for save in (lambda session: session.asave(), lambda session: session.save()):
        caplog.clear()
        late[1:] = [save]
        run(app, f"sessionid={key}")
        assert caplog.text == ""
        assert kept(key) == {"a": 1, "b": 2}


# ------------------------------------------------------------- WebSockets, and other scopes


def socket_app(*before: Any, act: Act = lambda session: session.update(seen=1)) -> Any:
    """An app that answers a handshake with these messages, and then changes its session."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.to_thread(with_connections, act, scope["session"])
        for message in before:
            await send(message)

    return app


def test_a_websocket_has_a_session() -> None:
    """M40: what is changed before it is accepted is saved, and a new key goes out with that."""
    answer = run(socket_app({"type": "websocket.accept"}), None, websocket_scope("/"))
    (cookie,) = fields(answer, "set-cookie", "websocket.accept")
    assert kept(key_of(cookie)) == {"seen": 1}
    start = {"type": "websocket.http.response.start", "status": 403, "headers": []}
    answer = run(socket_app(start), None, websocket_scope("/"))
    assert fields(answer, "set-cookie", "websocket.http.response.start")
    closed = {"type": "websocket.close", "code": 1000}
    assert run(socket_app(closed), None, websocket_scope("/")).messages == [closed]


def test_a_websocket_whose_session_was_deleted_is_refused() -> None:
    """M40: as a request is."""
    key = stored(a=1)

    def act(session: Any) -> None:
        db.SessionStore(key).delete()
        session["b"] = 2

    app = socket_app({"type": "websocket.accept"}, {"type": "websocket.send"}, act=act)
    answer = run(app, f"sessionid={key}", websocket_scope("/"))
    assert answer.messages == [{"type": "websocket.close", "code": 1008}]


def test_a_lifespan_goes_to_the_app_as_it_is() -> None:
    """M40: it has no session."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)

    asyncio.run(DjangoSession(app)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert scopes == [{"type": "lifespan"}]
    assert repr(DjangoSession(app)) == f"DjangoSession({app!r})"


# ------------------------------------------------------------- settings


def test_what_is_not_set_as_django_needs_it_is_refused() -> None:
    """M40: the error has Django's words, and says what to set."""
    with pytest.raises(ConfigError, match="its argument is an ASGI app"):
        DjangoSession("app")  # type: ignore[arg-type]
    for wrong in (
        {"SECRET_KEY": ""},
        {"SESSION_ENGINE": "no.such.module"},
        {"SESSION_ENGINE": "os.path"},
    ):
        with override_settings(**wrong), pytest.raises(ConfigError, match="cannot use the project"):
            DjangoSession(asgi_app(print))


def run_python(code: str) -> str:
    """What a fresh Python prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_django_is_set_up_if_nobody_has() -> None:
    """M40: and without settings the error says which variable to set."""
    code = (
        "import bridge, django.conf\n"
        "from bridge.sessions import DjangoSession\n"
        "try:\n    DjangoSession(print)\nexcept bridge.ConfigError as error:\n    print(error)\n"
        "django.conf.settings.configure(SECRET_KEY='x', SESSION_ENGINE="
        f"'{ENGINES}signed_cookies')\n"
        "print(DjangoSession(print))\n"
    )
    out = run_python(code)
    assert "set DJANGO_SETTINGS_MODULE as wsgi.py does" in out
    assert "DjangoSession(<built-in function print>)" in out


def test_without_django_the_error_says_what_to_install() -> None:
    """M40: the extra has its name; Flask's middleware needs no Django."""
    code = (
        "import sys, bridge\nsys.modules['django'] = None\n"
        "from bridge.sessions import FlaskSession\n"
        "try:\n    from bridge.sessions import DjangoSession\n"
        "except bridge.ConfigError as error:\n    print(error)\n"
    )
    assert "pip install 'asgi-bridge[django]'" in run_python(code)


def test_a_large_cookie_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """M40: browsers drop it."""
    text = "".join(f"{number * 7919:x}" for number in range(3000))
    with override_settings(SESSION_ENGINE=ENGINES + "signed_cookies"):
        run(asgi_app(lambda session: session.update(a=text)))
    assert "browsers keep none above 4093" in caplog.text


def test_signed_cookies_need_no_thread() -> None:
    """M40: nothing waits there."""
    assert issubclass(signed_cookies.SessionStore, object)
    with override_settings(SESSION_ENGINE=ENGINES + "signed_cookies"):
        new = DjangoSession(asgi_app(lambda session: None))
        new._in_thread = None
        scope = http_scope("/", headers=[(b"cookie", f"sessionid={stored(a=1)}".encode())])
        assert asyncio.run(talk(new, scope, REQUEST)).status == 200
