"""The routes of a Django project, in the order of its URLconf; and of what Channels puts around it.

The first route whose path matches takes a request, whatever its method: the view refuses that.
Includes are joined as texts, as Django does it: they may end within a segment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from bridge.route_tables.classes import class_names, is_a, loaded, methods_of
from bridge.route_tables.patterns.pattern import Pattern, Rest
from bridge.route_tables.patterns.regexes import tokens_of_regex
from bridge.route_tables.patterns.tokens import Hole, Token, pattern_of, tokens_of
from bridge.route_tables.route import AppFinder, AppRoute, AppTable, RouteKind, Submount
from bridge.route_tables.views import view_of

APPS = ("django.core.handlers.base.BaseHandler",)
STATIC = ("django.contrib.staticfiles.handlers.StaticFilesHandlerMixin",)
PROTOCOLS = ("channels.routing.ProtocolTypeRouter",)
URL_ROUTERS = ("channels.routing.URLRouter",)

_RESOLVER = "django.urls.resolvers.URLResolver"
_LOCALE_PREFIX = "django.urls.resolvers.LocalePrefixPattern"
_REGEX = "django.urls.resolvers.RegexPattern"
_SYNC_CONSUMER = "channels.consumer.SyncConsumer"
_HTTP_CONSUMER = "channels.generic.http.AsyncHttpConsumer"
_COMMON = "django.middleware.common.CommonMiddleware"

#: The most URLconfs that may be included in one another.
_DEEPEST = 24
_PARAMETER = re.compile(r"<(?:(?P<converter>[^>:]+):)?(?P<name>[^>]+)>")


def read(handler: Any, finder: AppFinder) -> AppTable:
    """Return the routes of the project: of its ROOT_URLCONF, which is imported for that."""
    resolver = loaded("django.urls", "get_resolver")()
    settings = loaded("django.conf", "settings")
    appends = settings.APPEND_SLASH and _COMMON in settings.MIDDLEWARE
    return AppTable(
        "",
        "Django",
        tuple(routes_of(resolver.url_patterns)),
        redirects_slashes="add" if appends else "",
    )


def read_static(handler: Any, finder: AppFinder) -> AppTable:
    """Return the routes of a handler that sends static files itself."""
    inner = finder.table(handler.application)
    entries = (Submount(Pattern(()), inner),) if inner.unread else inner.entries
    url = handler.base_url
    if not url.netloc:
        path = pattern_of([url.path, Hole("path", ".*")])
        view = view_of(handler.serve)
        note = "static files"
        entries = (AppRoute(url.path, path, view=view, by_method=False, note=note), *entries)
    return AppTable("", "Django", entries, redirects_slashes=inner.redirects_slashes)


def project_name() -> str:
    """Return what to call a project that has no other name."""
    return f"Django {loaded('django.conf', 'settings').ROOT_URLCONF!r}"


# ------------------------------------------------------------- a URLconf


@dataclass(frozen=True)
class _Found:
    """A route of a URLconf, with what is before it in those that include it."""

    tokens: tuple[Token, ...] = ()
    optional_slash: bool = False
    written: str = ""
    namespace: str = ""
    leaf: Any = None


def routes_of(patterns: Iterable[Any]) -> Iterator[AppRoute]:
    """Yield the routes of these `urlpatterns`, and of those that they include."""
    for found in _walk(patterns, _Found(), 0):
        callback = found.leaf.callback
        name = found.leaf.name
        yield AppRoute(
            found.written,
            pattern_of(("/", *found.tokens), optional_slash=found.optional_slash),
            _methods(callback),
            name=found.namespace + name if isinstance(name, str) else "",
            view=view_of(callback),
            by_method=False,
        )


def _walk(patterns: Iterable[Any], above: _Found, depth: int) -> Iterator[_Found]:
    for each in patterns:
        is_include = is_a(each, _RESOLVER)
        for tokens, optional, written in _written(each.pattern, is_end=not is_include):
            found = _Found(
                (*above.tokens, *tokens), optional, above.written + written, above.namespace, each
            )
            if not is_include:
                yield found
            elif depth < _DEEPEST:
                space = f"{each.namespace}:" if each.namespace else ""
                below = replace(found, namespace=above.namespace + space)
                yield from _walk(each.url_patterns, below, depth + 1)


def _written(pattern: Any, *, is_end: bool) -> Iterator[tuple[list[Token], bool, str]]:
    """Yield the forms of a pattern: its tokens, whether the last slash is optional, its text."""
    if is_a(pattern, _LOCALE_PREFIX):
        yield from _language_prefixes(pattern)
    elif is_a(pattern, _REGEX):
        text = str(pattern)
        yield *tokens_of_regex(text, is_end=is_end), text
    else:
        text = str(pattern)
        yield list(tokens_of(text, _PARAMETER, _hole(pattern.converters))), False, text


def _hole(converters: Any) -> Callable[[re.Match[str]], Hole]:
    return lambda found: Hole(
        found["name"], getattr(converters.get(found["name"]), "regex", "[^/]+")
    )


def _language_prefixes(pattern: Any) -> Iterator[tuple[list[Token], bool, str]]:
    """Yield the prefix of `i18n_patterns`, and none if the default language has none."""
    settings = loaded("django.conf", "settings")
    codes = [code for code, _ in settings.LANGUAGES]
    if not pattern.prefix_default_language:
        yield [], False, ""
        codes = [code for code in codes if code != settings.LANGUAGE_CODE]
    if codes:
        yield [Hole("language", "|".join(map(re.escape, codes))), "/"], False, "<language>/"


# ------------------------------------------------------------- methods


def _methods(view: Any) -> tuple[str, ...]:
    """Return the methods that a view takes, as far as it is declared; empty: not known."""
    actions = getattr(view, "actions", None)
    if isinstance(actions, dict):  # of a viewset
        return methods_of(actions)
    view_class = getattr(view, "view_class", None) or getattr(view, "cls", None)
    names = getattr(view_class, "http_method_names", None)
    if names is not None:
        return methods_of(name for name in names if _handles(view_class, name))
    return methods_of(_required(view))


def _handles(view_class: Any, name: str) -> bool:
    if name == "options" or hasattr(view_class, name):
        return True
    return name == "head" and hasattr(view_class, "get")


def _required(view: Any) -> list[str]:
    """Return the list that `require_http_methods` keeps for the view, or one inside of it."""
    for _ in range(_DEEPEST):
        code = getattr(view, "__code__", None)
        names = getattr(code, "co_freevars", ())
        if "request_method_list" in names:
            return list(view.__closure__[names.index("request_method_list")].cell_contents)
        view = getattr(view, "__wrapped__", None)
        if view is None:
            break
    return []


# ------------------------------------------------------------- Channels


def read_protocols(router: Any, finder: AppFinder) -> AppTable:
    """Return what a `ProtocolTypeRouter` has for HTTP and for WebSockets."""
    mapping = router.application_mapping
    entries = [
        Submount(Pattern(()), _of_protocol(mapping[kind], finder), kinds=(kind,))
        for kind in ("http", "websocket")
        if kind in mapping
    ]
    return AppTable("", "Channels", tuple(entries))


def _of_protocol(app: Any, finder: AppFinder) -> AppTable:
    """Return the routes for one protocol: what no framework's app is, is a part of the whole."""
    found = finder.table(app)
    return replace(found, app=finder.name) if found.framework == "Channels" else found


def read_url_router(router: Any, finder: AppFinder) -> AppTable:
    """Return the consumers of a `URLRouter`, and the apps in it."""
    return AppTable("", "Channels", tuple(_consumers(router, _Found(), finder, 0)))


def _consumers(
    router: Any, above: _Found, finder: AppFinder, depth: int
) -> Iterator[AppRoute | Submount]:
    for found in _walk(router.routes, above, 0):
        callback, name = found.leaf.callback, found.leaf.name
        path = pattern_of(("/", *found.tokens), optional_slash=found.optional_slash)
        if is_a(callback, *URL_ROUTERS):
            if depth < _DEEPEST:
                yield from _consumers(callback, replace(found, leaf=None), finder, depth + 1)
        elif hasattr(callback, "consumer_class"):
            bases = class_names(callback.consumer_class)
            kind: RouteKind = "http" if _HTTP_CONSUMER in bases else "websocket"
            view = view_of(callback, is_async=_SYNC_CONSUMER not in bases)
            yield AppRoute(found.written, path, (), kind, "", name or "", view)
        else:  # its app sees the whole path
            place = Pattern(tuple(part for part in path.parts if not isinstance(part, Rest)))
            yield Submount(place, finder.table(callback), keeps_prefix=True)
