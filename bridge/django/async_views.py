"""Which paths belong to async views (M30).

All async routes of the URLconf are made into one regular expression, once. A path that it does not
match is for a synchronous view, or for none. Where it matches, Django's own resolver has the word,
since a route before it may take the path, and a converter may refuse it.

A wrong guess costs time: both of Django's handlers run both kinds of views. It changes no answer
but streams, which the handler of the other kind collects first.
So what cannot be known before the middleware has run is guessed: the language of a translated
route, and a URLconf that a middleware sets as ``request.urlconf``. Such a URLconf is read when the
first request has it. Where that does not help, as a middleware changes the path, the path itself is
remembered; and the log tells of each view that ran in a thread.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.handlers.wsgi import get_path_info
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern
from django.utils import translation

from bridge.caches import BoundedDict
from bridge.django.patterns import ANYTHING, language_codes, text_of
from bridge.log import logger

#: The most URLconfs that are read.
MOST_URLCONFS: Final = 20
#: The most paths that are remembered, and views that the log has told of.
MOST_PATHS: Final = 1000
#: Seconds until URLconfs are read again that seem to have changed.
READ_AGAIN_AFTER: Final = 1.0


class AsyncViews:
    """Tells whether a path is that of an async view.

    It follows ``ROOT_URLCONF``: if Django's resolver is another one (`clear_url_caches`), it reads
    that. Raises, when it is made, what the URLconf raises.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: URLconfs that requests had; None is ``ROOT_URLCONF``.
        self._urlconfs: list[Any] = [None]
        #: Paths that led to an async view, though the URLconfs do not say so.
        self._paths: BoundedDict[str, bool] = BoundedDict(MOST_PATHS)
        self._told: BoundedDict[str, bool] = BoundedDict(MOST_PATHS)
        self._read()

    def _read(self) -> None:
        self._read_at = self._clock()
        self._resolver = _root_resolver()
        texts = [] if self._resolver is None else list(_async_routes(self._resolver))
        routes = _Languages(self._resolver)
        for urlconf in self._urlconfs[1:]:
            try:
                resolver = get_resolver(urlconf)
                texts += _async_routes(resolver)
                routes.add(resolver)
            except Exception:  # it is left out: its requests will show the error, or run in threads
                logger.debug("cannot read the URLconf %r", urlconf, exc_info=True)
        self._languages = routes.that_differ()
        #: Whether there is any async view at all.
        self.any = bool(texts)
        self._match = re.compile("|".join(dict.fromkeys(texts))).match if texts else None

    def takes(self, path_info: str) -> bool:
        """Whether the view for this path, below the project's own place, is async."""
        if self._resolver is not _root_resolver():
            self._read_if_it_can_be()
        if self._paths and path_info in self._paths:
            return True
        if self._match is None or self._match(path_info) is None:
            return False
        return any(self._resolves(urlconf, path_info) for urlconf in self._urlconfs)

    def _resolves(self, urlconf: Any, path_info: str) -> bool:
        if not self._languages:
            return _is_async_at(urlconf, path_info)
        # As LocaleMiddleware will: the path tells the language, or else it may be any.
        found = translation.get_language_from_path(path_info)
        for code in [found] if found else self._languages:
            with translation.override(code):
                if _is_async_at(urlconf, path_info):
                    return True
        return False

    def met(self, request: Any) -> None:
        """Note that an async view was reached by Django's WSGI handler.

        The request has another URLconf than those that are known, or one of them has changed, or a
        middleware has changed the path.
        """
        urlconf, path_info = getattr(request, "urlconf", None), get_path_info(request.environ)
        if urlconf not in self._urlconfs:
            if len(self._urlconfs) < MOST_URLCONFS:
                self._urlconfs.append(urlconf)
                self._read_if_it_can_be()
        elif self._clock() - self._read_at >= READ_AGAIN_AFTER:
            self._read_if_it_can_be()
        if not self.takes(path_info):
            self._paths.store(path_info, True)
        self._tell(request.resolver_match._func_path, path_info)

    def _tell(self, view: str, path_info: str) -> None:
        if view not in self._told:
            self._told.store(view, True)
            logger.warning(
                "the async view %s was called from a thread, for the URLconf did not show that it "
                "is behind %r: a stream of it is sent when it has ended. Later requests for that "
                "path run on the event loop",
                view, path_info,
            )  # fmt: skip

    def _read_if_it_can_be(self) -> None:
        try:
            self._read()
        except Exception:
            # The request itself will show the error, as Django shows it.
            self._resolver, self._match = None, None


def is_async(view: Any) -> bool:
    """Whether Django will await `view`: an ``async def``, or a class whose handlers are."""
    return iscoroutinefunction(view)


def _root_resolver() -> URLResolver | None:
    """Return Django's resolver, which it keeps; None if there is no ``ROOT_URLCONF``."""
    return get_resolver() if getattr(settings, "ROOT_URLCONF", None) is not None else None


def _is_async_at(urlconf: Any, path_info: str) -> bool:
    try:
        return is_async(get_resolver(urlconf).resolve(path_info).func)
    except Resolver404:
        return False
    except Exception:
        return False  # of a converter, say: the request itself will show it


def _async_routes(resolver: URLResolver) -> Iterator[str]:
    """Yield an expression for each route to an async view."""
    yield from _below(resolver, "/")


def _below(resolver: Any, start: str) -> Iterator[str]:
    for each in resolver.url_patterns:
        if not _is_djangos(each):
            yield start + ANYTHING  # a class of the project's own, which `resolve` will ask
        elif isinstance(each, URLPattern):
            if is_async(each.callback):
                yield start + text_of(each.pattern, endpoint=True)
        else:
            text = text_of(each.pattern, endpoint=False)
            below = _below(each, start + text)
            if text != ANYTHING:
                yield from below
            elif any(True for _ in below):
                yield start + ANYTHING


def _is_djangos(route: Any) -> bool:
    """Whether a route takes paths as Django's own do."""
    for kind in (URLPattern, URLResolver):
        if isinstance(route, kind):
            return type(route).resolve is kind.resolve
    return False


class _Languages:
    """Which languages have routes of their own, in some resolvers."""

    def __init__(self, resolver: Any) -> None:
        self._translated: list[Any] = []
        self._has_prefixes = False
        if resolver is not None:
            self.add(resolver)

    def add(self, resolver: Any) -> None:
        """Look at the routes of one more resolver."""
        for each in resolver.url_patterns:
            pattern = getattr(each, "pattern", None)
            given = getattr(pattern, "_route", getattr(pattern, "_regex", ""))
            self._has_prefixes |= isinstance(pattern, LocalePrefixPattern)
            if not isinstance(given, str):
                self._translated.append(given)
            if isinstance(each, URLResolver):
                self.add(each)

    def that_differ(self) -> list[str]:
        """Return languages, the usual one first, of which no two have the same routes.

        None, if no route differs. A prefix tells its language itself, so prefixes need one only:
        the usual one, which the paths without a prefix are for.
        """
        if not self._translated:
            return language_codes()[:1] if self._has_prefixes else []
        found: dict[tuple[str, ...], str] = {}
        for code in language_codes():
            with translation.override(code):
                found.setdefault(tuple(map(str, self._translated)), code)
        return list(found.values())
