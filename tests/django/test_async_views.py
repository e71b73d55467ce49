"""Which paths are those of async views."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.core.exceptions import ImproperlyConfigured
from django.urls import clear_url_caches, include, path, re_path, register_converter
from django.utils.translation import gettext_lazy
from django.views import View
from django.views.decorators.cache import never_cache

from bridge.django.async_views import MOST_URLCONFS, READ_AGAIN_AFTER, AsyncViews, is_async
from tests.support.django_here import project, set_up

set_up()


def sync(request: Any, **more: Any) -> None:
    """A synchronous view."""


async def loop(request: Any, **more: Any) -> None:
    """An async view."""


class Sync(View):
    def get(self, request: Any) -> None: ...


class Loop(View):
    async def get(self, request: Any) -> None: ...


class FussyConverter:
    """Refuses a value, or fails, as one does that looks into a database."""

    regex = "[a-z]+"

    def to_python(self, value: str) -> str:
        if value == "refused":
            raise ValueError
        if value == "broken":
            raise RuntimeError("no database here")
        return value

    to_url = staticmethod(str)


register_converter(FussyConverter, "tests_fussy")


def taken(views: AsyncViews, *paths: str) -> list[bool]:
    return [views.takes(each) for each in paths]


def test_kinds_of_views() -> None:
    """M30: functions, classes, decorated and partial ones, as Django tells them apart."""
    assert [*map(is_async, (loop, Loop.as_view(), never_cache(loop), partial(loop, a=1)))] == [
        *(True,) * 4
    ]
    assert [*map(is_async, (sync, Sync.as_view(), never_cache(sync), lambda request: None))] == [
        *(False,) * 4
    ]


def test_no_async_view_at_all() -> None:
    """M30: a project without async views asks no resolver."""
    with project(path("a", sync), path("in/", include([path("b", Sync.as_view())]))):
        views = AsyncViews()
        assert not views.any
        assert taken(views, "/a", "/in/b", "/nowhere", "*", "") == [False] * 5


def test_routes_of_both_kinds() -> None:
    """M30: the first route that takes a path decides, as in Django."""
    below = [path("sync", sync), path("<int:n>", loop), re_path(r"^(?P<n>[a-f]+)/$", loop)]
    routes = (
        path("", loop),
        path("a/mine", sync),
        path("a/<item>", loop),
        path("in/<slug:place>/", include(below)),
        re_path(r"^old(?P<n>\d)/", include(below)),
        re_path(r"tail", loop),
        path("fussy/<tests_fussy:x>", loop),
        path("fussy/<y>", sync),
    )
    with project(*routes):
        views = AsyncViews()
        assert views.any
        on_loop = ("/", "/a/x", "/in/here/1", "/in/here/abc/", "/old1/7", "/a-tail-of", "/fussy/x")
        assert taken(views, *on_loop) == [True] * len(on_loop)
        others = ("/a/mine", "/in/here/sync", "/old1/sync", "/b", "", "*", "/in/here/abc")
        assert taken(views, *others) == [False] * len(others)
        assert taken(views, "/fussy/refused", "/fussy/broken") == [False, False]


def test_routes_of_the_projects_own_classes() -> None:
    """M30: a route of another class is asked itself."""

    class Own:
        """Takes a path as `URLPattern` does."""

        pattern = path("", sync).pattern

        def resolve(self, rest: str) -> Any:
            return path("own", loop).resolve(rest)

    with project(Own(), path("other", sync)):
        assert taken(AsyncViews(), "/own", "/other") == [True, False]


def test_languages() -> None:
    """M30: a prefix tells the language; a route that is translated is tried in each."""
    languages = {"LANGUAGES": [("en", "English"), ("de", "German")], "LANGUAGE_CODE": "en-us"}
    routes = [path("x", loop), path(gettext_lazy("Sunday"), loop), path("s", sync)]
    with project(*i18n_patterns(*routes, prefix_default_language=False), **languages):
        views = AsyncViews()
        paths = ("/x", "/de/x", "/fr/x", "/de/Sonntag", "/de/Sunday", "/s", "/de/s")
        assert taken(views, *paths) == [True, True, False, True, False, False, False]
    with project(path("in/", include([path(gettext_lazy("Sunday"), loop)])), **languages):
        assert taken(AsyncViews(), "/in/Sunday", "/in/Sonntag", "/in/x") == [True, True, False]


def test_another_urlconf() -> None:
    """M30: another resolver of Django's is read; one that fails is left to Django."""
    with project(path("a", loop)) as urlconf:
        views = AsyncViews()
        urlconf.urlpatterns = [path("b", loop)]
        assert taken(views, "/a", "/b") == [True, False]  # Django keeps what it has read
        clear_url_caches()
        assert taken(views, "/a", "/b") == [False, True]
        urlconf.urlpatterns = None
        clear_url_caches()
        assert taken(views, "/a", "/b") == [False, False]
        urlconf.urlpatterns = [path("a", loop)]
        clear_url_caches()
        assert taken(views, "/a", "/b") == [True, False]


def test_a_urlconf_that_is_wrong() -> None:
    """M30: its error stops the start."""
    with project() as urlconf:
        urlconf.urlpatterns = None
        clear_url_caches()
        with pytest.raises(ImproperlyConfigured):
            AsyncViews()


def test_urlconfs_of_requests() -> None:
    """M30: a URLconf that a middleware sets is known after its first request; many are not."""

    def urlconf(*routes: Any) -> Any:
        return type("Urlconf", (), {"urlpatterns": routes})

    other = urlconf(path("other", loop), path("root", sync))
    with project(path("root", loop)):
        views = AsyncViews()
        assert taken(views, "/root", "/other") == [True, False]
        views.met(other)
        assert taken(views, "/root", "/other") == [True, True]
        for number in range(MOST_URLCONFS):
            views.met(urlconf(path(f"more/{number}", loop)))
        assert taken(views, "/more/0", f"/more/{MOST_URLCONFS - 1}") == [True, False]
    with project(ROOT_URLCONF=None):
        views = AsyncViews()
        assert taken(views, "/other") == [False]
        views.met(other)
        assert taken(views, "/other") == [True]


def test_routes_that_come_later() -> None:
    """M30: an async view that was met by chance has the routes read again, once a second."""
    now = [0.0]
    with project(path("a", sync)) as urlconf:
        views = AsyncViews(lambda: now[0])
        assert taken(views, "/a", "/b") == [False, False]
        urlconf.urlpatterns.append(path("b", loop))
        views.met(None)
        assert taken(views, "/a", "/b") == [False, False]
        now[0] = READ_AGAIN_AFTER
        views.met(None)
        assert taken(views, "/a", "/b") == [False, True]
