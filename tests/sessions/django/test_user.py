"""``scope["user"]``: who is logged in, by the rules of `django.contrib.auth`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.contrib import auth
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection
from django.http import HttpRequest
from django.test.utils import override_settings
from starlette.requests import HTTPConnection

from bridge.sessions import DjangoSession
from bridge.sessions.django import login, logout
from bridge.sessions.django.engine import with_connections
from bridge.types import Receive, Scope, Send
from tests.support.django_project import MODEL_BACKEND, SETTINGS
from tests.support.in_process import Answer, http_scope, talk, websocket_scope

View = Callable[[Any], Awaitable[Any]]


def ask(view: View, key: str | None = None, scope: Scope | None = None) -> tuple[Answer, Any]:
    """The answer to a request with this session, and what `view` gave for it."""
    given: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        given.append(await view(HTTPConnection(scope)))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    scope = scope or http_scope("/")
    if key:
        scope["headers"] = [(b"cookie", f"sessionid={key}".encode())]
    return asyncio.run(talk(DjangoSession(app), scope, [{"type": "http.request"}])), given[0]


def a_user(name: str = "ada", **more: Any) -> Any:
    """A user of the project."""
    user = auth.get_user_model().objects.create_user(name, password="old", **more)
    connection.close()
    return user


def logged_in(user: Any) -> str:
    """The key of a session that Django's own log-in has made."""
    request = HttpRequest()
    request.session = SessionStore()
    auth.login(request, user, MODEL_BACKEND)
    request.session.save()
    connection.close()
    return str(request.session.session_key)


def of_a_guest() -> str:
    """The key of a session in which nobody is logged in."""
    store = SessionStore()
    store["cart"] = [1]
    store.save()
    connection.close()
    return str(store.session_key)


def cookies(answer: Answer) -> dict[str, str]:
    """What the response sets, by name."""
    start = answer.messages[0]
    pairs = [value.decode() for name, value in start["headers"] if name == b"set-cookie"]
    return {pair.partition("=")[0]: pair.partition("=")[2].partition(";")[0] for pair in pairs}


async def who(request: Any) -> str:
    """The name of the user, who is asked for first."""
    user = await request.user
    assert user is await request.user
    return f"{user.get_username()} {user.is_authenticated} {request.user.is_active}"


def test_a_user_who_logged_in_on_the_old_side_is_known() -> None:
    """M40: awaited, it is the user; afterwards it can be used as if it were."""
    user = a_user()
    answer, name = ask(who, logged_in(user))
    assert name == "ada True True"
    assert answer.headers["vary"] == "Cookie"
    assert cookies(answer) == {}

    async def same(request: Any) -> Any:
        tasks = [asyncio.create_task(who(request)) for _ in range(3)]
        await asyncio.gather(*tasks)
        return await request.user, isinstance(request.user, type(user)), repr(request.user)

    assert ask(same, logged_in(user))[1] == (user, True, "<User: ada>")


def test_nobody_is_an_anonymous_user_and_needs_no_database() -> None:
    """M40: without a session, with one of a guest, and with a forged one."""

    async def now(request: Any) -> str:
        return f"{request.user.is_authenticated} {type(await request.user).__name__}"

    for key in (None, of_a_guest(), "a" * 32):
        assert ask(now, key)[1] == "False AnonymousUser"


def test_async_code_that_forgets_to_await_is_told() -> None:
    """M40: it would block the loop; the error says what to write."""
    key = logged_in(a_user())

    async def forgets(request: Any) -> str:
        assert repr(request.user) == "<User: not loaded yet>"
        with pytest.raises(SynchronousOnlyOperation, match=r"user = await request\.user"):
            print(request.user.username)
        return await who(request)

    assert ask(forgets, key)[1] == "ada True True"


def test_synchronous_code_just_uses_it() -> None:
    """M40: an endpoint in a thread, as FastAPI's `def` ones."""

    async def in_a_thread(request: Any) -> Any:
        return await asyncio.to_thread(lambda: request.user.username)

    assert ask(in_a_thread, logged_in(a_user()))[1] == "ada"


def test_a_changed_password_logs_out() -> None:
    """M40: the session is deleted, and so is the cookie."""
    user = a_user()
    key = logged_in(user)
    user.set_password("new")
    user.save()
    connection.close()
    answer, name = ask(who, key)
    assert name == " False False"
    assert cookies(answer) == {"sessionid": '""'}
    assert with_connections(SessionStore().exists, key) is False


def test_users_who_are_gone_or_inactive_are_not_logged_in() -> None:
    """M40: as their backend says."""
    user = a_user(is_active=False)
    key = logged_in(user)
    assert ask(who, key)[1] == " False False"
    with override_settings(AUTHENTICATION_BACKENDS=["no.such.Backend"]):
        assert ask(who, key)[1] == " False False"
    with_connections(user.delete)
    assert ask(who, key)[1] == " False False"


class Blocked:
    """A backend of the old app that lets nobody in any more."""

    def get_user(self, user_id: Any) -> None:
        """Nobody."""


def test_a_backend_is_asked_as_the_old_app_asks_it() -> None:
    """M40: a project overrides the synchronous method; Django's async one would pass by it."""
    user = a_user()
    key = logged_in(user)
    with override_settings(AUTHENTICATION_BACKENDS=[MODEL_BACKEND]):
        store = SessionStore(key)
        store["_auth_user_backend"] = f"{__name__}.Blocked"
        with_connections(store.save)
    with override_settings(AUTHENTICATION_BACKENDS=[f"{__name__}.Blocked"]):
        assert ask(who, key)[1] == " False False"


def test_older_keys_keep_users_logged_in() -> None:
    """M40: with `SECRET_KEY_FALLBACKS` the hash is renewed, with a new key of the session."""
    key = logged_in(a_user())
    old = SETTINGS["SECRET_KEY"]
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[old]):
        answer, name = ask(who, key)
        new = cookies(answer)["sessionid"]
        assert name == "ada True True"
        assert new != key
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]):
        assert ask(who, new)[1] == "ada True True"
        assert ask(who, key)[1] == " False False"


def test_older_keys_log_nobody_out_after_the_response_has_begun(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """M40: the session keeps its key then, for a new one could not be sent."""
    key = logged_in(a_user())
    names: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        names.append(await who(HTTPConnection(scope)))

    scope = websocket_scope("/", headers=[(b"cookie", f"sessionid={key}".encode())])
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[SETTINGS["SECRET_KEY"]]):
        asyncio.run(talk(DjangoSession(app), scope, []))
        assert names == ["ada True True"]
        assert ask(who, key)[1] == "ada True True"
    assert caplog.text == ""


def test_requests_that_django_cannot_read() -> None:
    """M40: bytes of a query that are no text, and odd types of content, hide no user."""
    key = logged_in(a_user())
    for odd in (
        {"query_string": b"a=\xff"},
        {"headers": [(b"content-type", b"a/b; charset=\xff")]},
    ):
        given = {"query_string": b"", "headers": [], **odd}
        given["headers"] = [*given["headers"], (b"cookie", f"sessionid={key}".encode())]
        assert ask(who, scope=http_scope("/", **given))[1] == "ada True True"


# ------------------------------------------------------------- log-in and log-out on the new side


def test_a_log_in_has_a_new_key_and_keeps_the_cart() -> None:
    """M40: what a guest had stays; the key that others may know does not."""
    user = a_user()
    seen: list[Any] = []

    def receiver(sender: Any, request: Any, user: Any, **more: Any) -> None:
        seen.append((request.path, request.META["REMOTE_ADDR"], user.username))

    async def view(request: Any) -> str:
        await login(request, user, MODEL_BACKEND)
        return await who(request)

    guest = of_a_guest()
    user_logged_in.connect(receiver)
    try:
        answer, name = ask(view, guest)
    finally:
        user_logged_in.disconnect(receiver)
    new = cookies(answer)["sessionid"]
    assert name == "ada True True"
    assert seen == [("/", "192.0.2.1", "ada")]
    assert new != guest
    assert with_connections(SessionStore().exists, guest) is False
    assert with_connections(lambda: SessionStore(new)["cart"]) == [1]
    assert ask(who, new)[1] == "ada True True"


def test_another_user_s_session_is_not_taken_over() -> None:
    """M40: what the one had is gone for the other."""
    first = logged_in(a_user("ada"))
    second = a_user("grace")

    async def view(request: Any) -> Any:
        request.session["cart"] = [1]
        await login(request.scope, second)
        return dict(request.session)

    answer, values = ask(view, first)
    assert "cart" not in values
    assert cookies(answer)["sessionid"] != first
    assert ask(who, cookies(answer)["sessionid"])[1] == "grace True True"


def test_a_log_out_deletes_session_and_cookie() -> None:
    """M40: the old side knows at once."""
    key = logged_in(a_user())
    seen: list[str] = []

    def receiver(sender: Any, user: Any, **more: Any) -> None:
        seen.append(user.username)

    async def view(request: Any) -> str:
        await logout(request)
        return f"{request.user.is_authenticated} {await who(request)}"

    user_logged_out.connect(receiver)
    try:
        answer, name = ask(view, key)
    finally:
        user_logged_out.disconnect(receiver)
    assert (name, seen) == ("False  False False", ["ada"])
    assert cookies(answer) == {"sessionid": '""'}
    assert with_connections(SessionStore().exists, key) is False


@pytest.mark.parametrize("in_session", [False, True])
def test_a_log_in_changes_the_token_against_forged_requests(in_session: bool) -> None:
    """M40: as Django's own log-in, if its CSRF middleware is on."""
    user = a_user()

    async def view(request: Any) -> None:
        await login(request, user)

    middleware = ["django.middleware.csrf.CsrfViewMiddleware"]
    with override_settings(MIDDLEWARE=middleware, CSRF_USE_SESSIONS=in_session):
        answer, _ = ask(view)
    found = cookies(answer)
    key = found["sessionid"]
    assert ("csrftoken" in found) is not in_session
    assert ("_csrftoken" in with_connections(lambda: dict(SessionStore(key).items()))) is in_session


def test_a_log_in_that_cannot_be_sent_is_an_error() -> None:
    """M40: after the response has begun; a log-out works: the session is deleted."""
    user = a_user()
    key = logged_in(user)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        with pytest.raises(RuntimeError, match="the response has begun"):
            await login(scope, user)
        assert await who(HTTPConnection(scope)) == "ada True True"
        await logout(scope)

    scope = websocket_scope("/", headers=[(b"cookie", f"sessionid={key}".encode())])
    asyncio.run(talk(DjangoSession(app), scope, []))
    assert with_connections(SessionStore().exists, key) is False


def test_without_the_middleware_there_is_nobody_to_log_in() -> None:
    """M40: the error says what is missing; without users there is no user."""
    for session in ({}, None):
        with pytest.raises(RuntimeError, match="put DjangoSession around the app"):
            asyncio.run(logout({"session": session}))
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)

    asyncio.run(talk(DjangoSession(app, user=False), http_scope("/"), []))
    with override_settings(INSTALLED_APPS=["django.contrib.sessions"]):
        asyncio.run(talk(DjangoSession(app), http_scope("/"), []))
    assert ["user" in scope for scope in scopes] == [False, False]
