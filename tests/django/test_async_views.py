"""Which paths are those of async views."""

from __future__ import annotations

from functools import partial
from threading import Thread
from typing import Any

import pytest
from django.conf import global_settings
from django.conf.urls.i18n import i18n_patterns
from django.core.exceptions import ImproperlyConfigured
from django.test import RequestFactory
from django.urls import (
    URLPattern,
    clear_url_caches,
    include,
    path,
    re_path,
    register_converter,
    resolve,
)
from django.utils.translation import gettext_lazy
from django.views import View
from django.views.decorators.cache import never_cache

from bridge.django import async_views
from bridge.django.async_views import (
    MOST_PATHS,
    MOST_URLCONFS,
    READ_AGAIN_AFTER,
    AsyncViews,
    is_async,
)
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


def request_to(path: str, **more: Any) -> Any:
    """A request that Django's WSGI handler has resolved; `more`: what a middleware has set."""
    request = RequestFactory().get(path)
    vars(request).update(more)
    urlconf = more.get("urlconf")
    request.resolver_match = resolve(request.path_info, urlconf)
    return request


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

    class Late(URLPattern):
        """Decides itself what it takes."""

        def resolve(self, rest: str) -> Any:
            return path("late", loop).resolve(rest)

    late = Late(path("never", sync).pattern, sync)
    with project(Own(), late, path("other", sync)):
        assert taken(AsyncViews(), "/own", "/late", "/other") == [True, True, False]


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
        views.met(request_to("/other", urlconf=other))
        assert taken(views, "/root", "/other") == [True, True]
        for number in range(MOST_URLCONFS):
            more = urlconf(path("more/<int:number>/<int:item>", loop))
            views.met(request_to(f"/more/{number}/1", urlconf=more))
        views.met(request_to("/more/7/8", urlconf=urlconf(path("more/7/8", loop))))
        assert taken(views, "/more/0/2", "/more/7/8") == [True, True]
    with project(ROOT_URLCONF=None):
        views = AsyncViews()
        assert taken(views, "/other") == [False]
        views.met(request_to("/other", urlconf=other))
        assert taken(views, "/other") == [True]


def test_a_urlconf_of_requests_that_cannot_be_read() -> None:
    """M30: it takes nothing from the others; the path that led to the view is remembered."""
    with project(path("root", loop), path("other", sync)):
        views = AsyncViews()
        request = request_to("/other", urlconf=None)
        request.urlconf = type("Broken", (), {"urlpatterns": None})
        request.resolver_match = resolve("/root")
        views.met(request)
        assert taken(views, "/root", "/other", "/elsewhere") == [True, True, False]


def test_paths_that_a_middleware_changes(caplog: pytest.LogCaptureFixture) -> None:
    """M30: they are remembered when they have led to an async view; the log tells of it once."""
    with project(path("a/<int:n>", loop), path("old/<int:n>", sync)):
        views = AsyncViews()
        assert taken(views, "/old/1") == [False]
        for number in (1, 2):
            request = request_to(f"/old/{number}")
            request.resolver_match = resolve(f"/a/{number}")
            views.met(request)
        assert taken(views, "/old/1", "/old/2", "/old/3") == [True, True, False]
        told = [each.message for each in caplog.records]
        assert len(told) == 1
        assert f"the async view {__name__}.loop was called from a thread" in told[0]
        assert "'/old/1'" in told[0]
        for number in range(MOST_PATHS):
            request = request_to(f"/old/9{number}")
            request.resolver_match = resolve("/a/1")
            views.met(request)
        assert taken(views, "/old/1", f"/old/9{MOST_PATHS - 1}") == [False, True]


def test_long_paths() -> None:
    """M30: a path is looked at in time that grows with its length, not with a power of it."""
    inner = include([path("<path:c>/end", loop)])
    with project(path("<path:a>/", include([path("<path:b>/", inner)]))):
        looked = []

        def look() -> None:
            looked.extend(taken(AsyncViews(), "/" + "a/" * 4000, "/a/b/c/end"))

        thread = Thread(target=look, daemon=True)
        thread.start()
        thread.join(20)
        assert looked == [False, False]  # Django's own <path:a>/ takes all up to the last slash


def test_many_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    """M30: a path is looked up once for each language that has routes of its own, not for all."""
    many = {"LANGUAGES": global_settings.LANGUAGES, "LANGUAGE_CODE": "en"}
    usual = (path("s", sync), path("<slug:x>", loop))
    for routes, most in ((usual, 1), ((*usual, path(gettext_lazy("Tuesday"), loop)), 90)):
        with project(*i18n_patterns(*routes, prefix_default_language=False), **many):
            views, asked = AsyncViews(), []

            def count(urlconf: Any, path_info: str, asked: list[str] = asked) -> bool:
                asked.append(path_info)
                return False

            monkeypatch.setattr(async_views, "_is_async_at", count)
            assert taken(views, "/s") == [False]
            assert 1 <= len(asked) <= most


def test_routes_that_come_later() -> None:
    """M30: an async view that was met by chance has the routes read again, once a second."""
    now = [0.0]
    with project(path("a", sync)) as urlconf:
        views = AsyncViews(lambda: now[0])
        assert taken(views, "/a", "/b/1") == [False, False]
        urlconf.urlpatterns.append(path("b/<int:n>", loop))
        views.met(request_to("/b/1"))
        assert taken(views, "/a", "/b/1", "/b/2") == [False, True, False]  # this path it knows
        now[0] = READ_AGAIN_AFTER
        views.met(request_to("/b/3"))
        assert taken(views, "/a", "/b/2") == [False, True]
