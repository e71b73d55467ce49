"""`DjangoSession`: the session and the user of a Django project, for an ASGI app (M40).

    app = FastAPI()
    app.add_middleware(DjangoSession)

``request.session`` is then the project's own session, by the engine of `SESSION_ENGINE`, and
``await request.user`` the user that is logged in. The rules are those of Django's
`SessionMiddleware` and `AuthenticationMiddleware`; the loop is never blocked: what waits for a
store runs in a thread, or in the engine's own async methods.
"""

from __future__ import annotations

import functools
import io
import time
from collections.abc import Callable
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib import auth
from django.contrib.sessions.backends.base import UpdateError
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, parse_cookie
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.http import http_date

from bridge.errors import ConfigError, RequestAnswered, shown
from bridge.http.error_response import error_response
from bridge.log import logger
from bridge.sessions.cookies import (
    OPENING,
    WITH_SESSION,
    cookie_text,
    sets_cookie,
    warn_if_large,
    with_fields,
)
from bridge.sessions.django.engine import (
    find_engine,
    has_own_async,
    never_waits,
    session_class,
    with_connections,
)
from bridge.sessions.django.user import User
from bridge.types import ASGIApp, Message, Receive, Scope, Send

_CSRF: Final = "django.middleware.csrf.CsrfViewMiddleware"
_DELETED: Final = "the session was deleted while the request ran, by a log-out for example"


class Refused(RequestAnswered):
    """The session was deleted meanwhile, so the app's answer goes nowhere."""


class DjangoSession:
    """An ASGI middleware that shares sessions and users of a Django project with `app`.

    It takes all settings from Django, which it sets up if nobody has. With `user`, there is
    ``scope["user"]`` if `django.contrib.auth` is installed. `thread_sensitive` is that of
    `sync_to_async`: with False, requests wait for the store side by side, each with a connection to
    the database. Raises `ConfigError`.
    """

    def __init__(self, app: ASGIApp, *, user: bool = True, thread_sensitive: bool = True) -> None:
        if not callable(app):
            raise ConfigError(f"DjangoSession was given {shown(app)}; its argument is an ASGI app")
        self.app = app
        self._session_class = session_class(find_engine())
        self._has_user = user and apps.is_installed("django.contrib.auth")
        self._in_thread = sync_to_async(with_connections, thread_sensitive=thread_sensitive)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app with ``scope["session"]``, which is saved when the response begins."""
        if scope["type"] not in WITH_SESSION:
            await self.app(scope, receive, send)
            return
        visit = Visit(scope, self._session_class, self._in_thread)
        await visit.load()
        own = {**scope, "session": visit.session}
        if self._has_user:
            own["user"] = visit.user
        try:
            await self.app(own, receive, functools.partial(visit.send, send))
        except Exception as error:
            # The app's `send` has raised, so that it ends.
            if not _is_of_refusal(error):
                raise
        if visit.opened and visit.session.modified:
            logger.warning(
                "the session was changed after the response to %r had begun, and was not saved: "
                "the change is lost",
                scope["path"],
            )

    def __repr__(self) -> str:
        return f"DjangoSession({self.app!r})"


async def login(request: Any, user: Any, backend: str | None = None) -> None:
    """Log a user in, as `django.contrib.auth.login` does: the session gets a new key.

    `request` is a request or WebSocket of Starlette or FastAPI, or a scope. Raises RuntimeError if
    its response has begun, since the key could not be sent any more.
    """
    visit = _visit_of(request)
    if visit.opened:
        raise RuntimeError("the response has begun, so nobody can be logged in; do it before")
    await visit.in_thread(auth.login, visit.request, user, backend)
    visit.user._wrapped = user._wrapped if user is visit.user else user


async def logout(request: Any) -> None:
    """Log the user out, as `django.contrib.auth.logout` does: the session is deleted."""
    visit = _visit_of(request)
    await visit.in_thread(auth.logout, visit.request)
    visit.user._wrapped = visit.request.user


def _visit_of(request: Any) -> Visit:
    scope = request if isinstance(request, dict) else request.scope
    visit = getattr(scope.get("session"), "_visit", None)
    if not isinstance(visit, Visit):
        raise RuntimeError("the request has no session of Django; put DjangoSession around the app")
    return visit


# ------------------------------------------------------------- one request


class Visit:
    """What Django knows of one request or WebSocket: its session, its user, what to answer."""

    def __init__(self, scope: Scope, engine: Any, in_thread: Callable[..., Any]) -> None:
        self.in_thread = in_thread
        self.scope = scope
        cookies = parse_cookie(cookie_text(scope))
        name = settings.SESSION_COOKIE_NAME
        self._has_cookie = name in cookies
        key = cookies.get(name)
        # Keys are letters and digits, or base64. Some databases fail at others.
        self.session = engine(key if key and key.isascii() and key.isprintable() else None)
        self.session._visit = self
        self.user = User(self)
        #: Whether the response has begun.
        self.opened = False
        #: Whether the answer is our refusal, and the app's goes nowhere.
        self.interrupted = False
        self._has_key = self.session.session_key is not None
        self._modified_by_loading = False

    @functools.cached_property
    def request(self) -> Any:
        """The request as Django has it, for signals and backends."""
        # Without what Django cannot read: its own handler would have refused such a request.
        scope = {"method": "GET", **self.scope}
        scope["query_string"] = scope.get("query_string", b"").decode("utf-8", "replace").encode()
        scope["headers"] = [each for each in scope["headers"] if each[0] != b"content-type"]
        request = ASGIRequest(scope, io.BytesIO())
        request.session, request.user = self.session, self.user
        return request

    def _has_own_async(self, name: str) -> bool:
        engine: Any = type(self.session)
        return has_own_async(engine, name)

    async def load(self) -> None:
        """Read the session from its store, as if nobody had looked at it yet."""
        session = self.session
        if not self._has_key:
            return
        if self._has_own_async("load"):
            await session._aget_session()
        elif never_waits(session):
            session._get_session()
        else:
            await self.in_thread(session._get_session)
        self._modified_by_loading = session.modified
        session.accessed = session.modified = False

    async def send(self, send: Send, message: Message) -> None:
        """Send a message of the app's; the one that begins the response with the session."""
        if not self.opened and message["type"] in OPENING:
            message = await self._open(message)
            self.opened = True
            self.session.modified = False
            if self.interrupted:
                await _refuse(self.scope, send)
                if self.scope["type"] == "http":
                    return
        if not self.interrupted:
            await send(message)
        elif message.get("more_body") or message["type"].startswith("websocket."):
            raise Refused("the session was deleted meanwhile: the request was refused")

    async def _open(self, message: Message) -> Message:
        """Save the session, and return the message with its cookie: what Django does then."""
        session, response = self.session, HttpResponse()
        await self._load_again()
        if _CSRF in settings.MIDDLEWARE and "request" in self.__dict__:
            _rotate_csrf_token(self.request, response)
        accessed = session.accessed
        changed = session.modified or (accessed and self._modified_by_loading)
        gone = session.is_empty() if accessed or changed else not self._has_key
        name = settings.SESSION_COOKIE_NAME
        # What the old app has just said stays, if it is within: ours would be older.
        leave = not changed and sets_cookie(message, name)
        if self._has_cookie and gone and not leave:
            response.delete_cookie(
                name,
                path=settings.SESSION_COOKIE_PATH,
                domain=settings.SESSION_COOKIE_DOMAIN,
                samesite=settings.SESSION_COOKIE_SAMESITE,
            )
        elif (
            (changed or settings.SESSION_SAVE_EVERY_REQUEST)
            and not (gone or leave)
            and message.get("status", 200) < 500  # what the server failed at is not saved
            and not await self._save(response)
        ):
            self.interrupted = True
            return message
        cookies = [each.OutputString().encode("ascii") for each in response.cookies.values()]
        for cookie in cookies:
            warn_if_large(name, cookie)
        if not cookies and not accessed:
            return message
        return with_fields(message, cookies, vary=True)

    async def _load_again(self) -> None:
        """Read the session again, if it is saved though the app has not looked at it.

        The old app may be within, or another request may have changed it.
        """
        session = self.session
        untouched = not (session.accessed or session.modified)
        if untouched and settings.SESSION_SAVE_EVERY_REQUEST and session.session_key is not None:
            vars(session).pop("_session_cache", None)
            await self.load()
            self._has_key = session.session_key is not None

    async def _save(self, response: HttpResponse) -> bool:
        """Save the session, and set its cookie; False if it was deleted meanwhile."""
        session = self.session
        max_age = expires = None
        if not session.get_expire_at_browser_close():
            max_age = session.get_expiry_age()
            expires = http_date(time.time() + max_age)
        try:
            if self._has_own_async("save"):
                await session.asave()
            elif never_waits(session):
                session.save()
            else:
                await self.in_thread(session.save)
        except UpdateError:
            logger.warning("the session of a request to %r was deleted meanwhile: it is refused",
                           self.scope["path"])  # fmt: skip
            return False
        response.set_cookie(
            settings.SESSION_COOKIE_NAME,
            session.session_key,
            max_age=max_age,
            expires=expires,
            domain=settings.SESSION_COOKIE_DOMAIN,
            path=settings.SESSION_COOKIE_PATH,
            secure=settings.SESSION_COOKIE_SECURE or None,
            httponly=settings.SESSION_COOKIE_HTTPONLY or None,
            samesite=settings.SESSION_COOKIE_SAMESITE,
        )
        return True


def _is_of_refusal(error: BaseException | None) -> bool:
    """Whether an app raised it because its `send` did, after we have refused its request."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_of_refusal, error.exceptions))
    for _ in range(100):  # a chain of causes may be a circle
        if error is None or isinstance(error, Refused):
            break
        error = error.__cause__ or error.__context__
    return isinstance(error, Refused)


async def _refuse(scope: Scope, send: Send) -> None:
    """Answer a request whose session was deleted meanwhile, as Django does: 400."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    head, body = error_response(400, _DELETED, is_head=scope["method"] == "HEAD")
    await send(
        {"type": "http.response.start", "status": head.status_code, "headers": head.raw_headers}
    )
    await send({"type": "http.response.body", "body": body})


def _rotate_csrf_token(request: Any, response: HttpResponse) -> None:
    """Set the new CSRF token after a log-in, as Django's middleware does."""
    CsrfViewMiddleware(lambda request: response).process_response(request, response)
