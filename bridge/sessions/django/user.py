"""`User`: who is logged in, as the old app would say (M40)."""

from __future__ import annotations

import asyncio
from typing import Any

from django.contrib import auth
from django.core.exceptions import SynchronousOnlyOperation
from django.utils.functional import LazyObject, empty

from bridge.sessions.django.engine import with_connections


class User(LazyObject):  # type: ignore[misc]
    """``scope["user"]``: loaded when it is first used, and checked as Django checks it.

    In async code ``await`` it: that gives the user itself, or an `AnonymousUser`. In other code, or
    later, it is used as if it were the user.
    """

    _wrapped: Any

    def __init__(self, visit: Any) -> None:
        self.__dict__["_visit"] = visit
        self.__dict__["_lock"] = None
        super().__init__()

    def __await__(self) -> Any:
        return self._load().__await__()

    async def _load(self) -> Any:
        if self.__dict__["_lock"] is None:
            self.__dict__["_lock"] = asyncio.Lock()
        async with self.__dict__["_lock"]:
            if self._wrapped is empty and not self._is_anonymous():
                visit = self.__dict__["_visit"]
                self._wrapped = await visit.in_thread(_get_user, visit)
        return self._wrapped

    def _setup(self) -> None:
        """Load it now, in code that may wait (overrides `LazyObject`)."""
        if self._is_anonymous():
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._wrapped = with_connections(_get_user, self.__dict__["_visit"])
        else:
            raise SynchronousOnlyOperation(
                "the user is not loaded yet; write 'user = await request.user' in async code"
            )

    def _is_anonymous(self) -> bool:
        """Whether nobody is logged in, which needs no database; it is known then."""
        from django.contrib.auth.models import AnonymousUser

        if auth.SESSION_KEY in self.__dict__["_visit"].session:
            return False
        self._wrapped = AnonymousUser()
        return True

    def __repr__(self) -> str:
        if self._wrapped is empty:
            return "<User: not loaded yet>"
        return repr(self._wrapped)


def _get_user(visit: Any) -> Any:
    """Return the user of the session, checked by Django.

    With an older key (``SECRET_KEY_FALLBACKS``) Django gives the session a new key. If the response
    has begun, that would log the user out: it could not be sent.
    """
    session, modified = visit.session, visit.session.modified
    session.keeps_key = visit.opened
    try:
        return auth.get_user(visit.request)
    finally:
        if session.keeps_key and session.session_key is not None:
            session.modified = modified
        session.keeps_key = False
