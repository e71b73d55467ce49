"""Views that wait for another server, each in the way of one client library.

The query of a request is an argument for the view. ``UPSTREAM`` and ``UPSTREAM_TLS`` in the
environment are the URLs that the views ask, ``AUTHORITY`` the file with the certificate that signs
the second, ``REDIS`` the URL of a Redis.
"""

from __future__ import annotations

import http.client
import os
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import requests

UPSTREAM = os.environ.get("UPSTREAM", "")
UPSTREAM_TLS = os.environ.get("UPSTREAM_TLS", "")

_kept: list[http.client.HTTPSConnection] = []
#: What has become of some views, by the name that the request gave them.
ended: dict[str, str] = {}


def with_requests(path: str) -> bytes:
    return requests.get(UPSTREAM + path).content


def with_little_time(seconds: str) -> bytes:
    return requests.get(UPSTREAM, timeout=float(seconds)).content


def refused(port: str) -> bytes:
    return requests.get(f"http://127.0.0.1:{port}/").content


def with_urllib3(_: str) -> bytes:
    return bytes(_urllib3_pool().request("GET", UPSTREAM).data)


def with_httpx(_: str) -> bytes:
    return bytes(_httpx_client().get(UPSTREAM).content)


def with_urllib(_: str) -> bytes:
    with urllib.request.urlopen(UPSTREAM) as response:
        return bytes(response.read())


def with_tls(_: str) -> bytes:
    to = urlsplit(UPSTREAM_TLS)
    connection = http.client.HTTPSConnection(to.hostname or "", to.port, context=_context())
    connection.request("GET", to.path)
    try:
        return connection.getresponse().read()
    finally:
        connection.close()


def with_kept_tls(_: str) -> bytes:
    """As `with_tls`, with the connection of a request before."""
    to = urlsplit(UPSTREAM_TLS)
    connection = (
        _kept.pop()
        if _kept
        else http.client.HTTPSConnection(to.hostname or "", to.port, context=_context())
    )
    connection.request("GET", to.path)
    body = connection.getresponse().read()
    _kept.append(connection)
    return body


def with_redis(_: str) -> bytes:
    return repr(_redis().blpop(["never-filled"], timeout=1)).encode()


def asleep(_: str) -> bytes:
    time.sleep(1)
    return b"slept"


def left_alone(query: str) -> bytes:
    """Whether the view named `query` has come to its end, and how."""
    return ended.get(query, "").encode()


def noted(query: str) -> bytes:
    """Ask the other server, and note the end, which a client that leaves does not change."""
    ended[query] = "begun"
    try:
        with_requests("")
    except BaseException as error:
        ended[query] = repr(error)
        raise
    ended[query] = "answered"
    return b"answered"


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ["AUTHORITY"])


@cache
def _urllib3_pool() -> Any:
    import urllib3

    return urllib3.PoolManager(maxsize=1000)


@cache
def _httpx_client() -> Any:
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx.Client(limits=limits, timeout=30)


@cache
def _redis() -> Any:
    import redis
    from redis.driver_info import DriverInfo

    # Else each connection reads the metadata of the package for it.
    about = DriverInfo()
    return redis.Redis.from_url(os.environ["REDIS"], max_connections=2000, driver_info=about)


VIEWS: dict[str, Callable[[str], bytes]] = {
    "/requests": with_requests,
    "/urllib3": with_urllib3,
    "/httpx": with_httpx,
    "/urllib": with_urllib,
    "/tls": with_tls,
    "/kept-tls": with_kept_tls,
    "/little-time": with_little_time,
    "/refused": refused,
    "/redis": with_redis,
    "/sleep": asleep,
    "/noted": noted,
    "/ended": left_alone,
}


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The view that the path names; what it raises is the answer, with 502."""
    try:
        body = VIEWS[environ["PATH_INFO"]](environ["QUERY_STRING"])
    except Exception as error:
        body = f"{type(error).__module__}.{type(error).__qualname__}: {error}".encode()
        start_response("502 Bad Gateway", [("Content-Length", str(len(body)))])
        return [body]
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
