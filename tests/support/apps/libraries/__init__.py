"""A WSGI app with a page for each library: in each page a request waits in the library's own way.

``/NAME?SECONDS`` waits so long, and answers when that began and ended; ``/NAME?SECONDS&in_thread``
waits in `bridge.in_thread`. The servers that are asked are URLs in the environment: ``UPSTREAM``,
``POSTGRES``, ``MARIADB``, ``REDIS``. A page raises an error if the library gets a wrong answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.support.apps.libraries import clients, databases, frameworks, instruments
from tests.support.apps.libraries.timed import page

Page = Callable[[dict[str, Any], Any], Iterable[bytes]]

#: The pages by the names that the documentation has for the libraries.
PAGES: dict[str, Page] = {
    **frameworks.PAGES,
    **instruments.PAGES,
    **{name: page(wait) for name, wait in {**databases.WAITS, **clients.WAITS}.items()},
}


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """WSGI: call the page, which sees no more of the path than a slash."""
    name = environ["PATH_INFO"].removeprefix("/")
    return PAGES[name]({**environ, "SCRIPT_NAME": f"/{name}", "PATH_INFO": "/"}, start_response)
