"""Which paths belong to async views (M30).

All async routes of the URLconf are made into one regular expression, once. A path that it does not
match is for a synchronous view, or for none. Where it matches, Django's own resolver has the word,
since a route before it may take the path, and a converter may refuse it.

A wrong guess costs time: both of Django's handlers run both kinds of views. It changes no answer
but streams, which the handler of the other kind collects first.
So what cannot be known before the middleware has run is guessed: the language of a translated
route, and a URLconf that a middleware sets as ``request.urlconf``. Such a URLconf is read when the
first request has it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern
from django.utils import translation

from bridge.django.patterns import ANYTHING, language_codes, text_of

#: The most URLconfs that are read.
MOST_URLCONFS: Final = 20
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
        self._read()

    def _read(self) -> None:
        self._read_at = self._clock()
        self._resolver = _root_resolver()
        resolvers = [self._resolver, *map(get_resolver, self._urlconfs[1:])]
        texts = [text for each in resolvers if each is not None for text in _async_routes(each)]
        self._by_language = any(each is not None and _has_languages(each) for each in resolvers)
        #: Whether there is any async view at all.
        self.any = bool(texts)
        self._match = re.compile("|".join(dict.fromkeys(texts))).match if texts else None

    def takes(self, path_info: str) -> bool:
        """Whether the view for this path, below the project's own place, is async."""
        if self._resolver is not _root_resolver():
            self._read_if_it_can_be()
        if self._match is None or self._match(path_info) is None:
            return False
        return any(self._resolves(urlconf, path_info) for urlconf in self._urlconfs)

    def _resolves(self, urlconf: Any, path_info: str) -> bool:
        if not self._by_language:
            return _is_async_at(urlconf, path_info)
        # As LocaleMiddleware will: the path tells the language, or else it may be any.
        found = translation.get_language_from_path(path_info)
        for code in [found] if found else language_codes():
            with translation.override(code):
                if _is_async_at(urlconf, path_info):
                    return True
        return False

    def met(self, urlconf: Any) -> None:
        """Note that an async view was reached as a synchronous one, by `urlconf`; None: the root.

        It is another URLconf than those that are known, or one of them has changed.
        """
        if urlconf not in self._urlconfs:
            if len(self._urlconfs) < MOST_URLCONFS:
                self._urlconfs.append(urlconf)
                self._read_if_it_can_be()
        elif self._clock() - self._read_at >= READ_AGAIN_AFTER:
            self._read_if_it_can_be()

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
        if isinstance(each, URLPattern):
            if is_async(each.callback):
                yield start + text_of(each.pattern, endpoint=True)
        elif isinstance(each, URLResolver):
            yield from _below(each, start + text_of(each.pattern, endpoint=False))
        else:
            yield start + ANYTHING  # a class of the project's own, which `resolve` will ask


def _has_languages(resolver: Any) -> bool:
    """Whether a route differs from language to language."""
    for each in resolver.url_patterns:
        pattern = each.pattern
        given = getattr(pattern, "_route", getattr(pattern, "_regex", ""))
        if isinstance(pattern, LocalePrefixPattern) or not isinstance(given, str):
            return True
        if isinstance(each, URLResolver) and _has_languages(each):
            return True
    return False
