"""HTTP clients: they ask a server that answers late."""

from __future__ import annotations

import http.client
import os
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import requests
import urllib3

_UPSTREAM = os.environ["UPSTREAM"]
_pool = urllib3.PoolManager()
_client = httpx.Client()


def _late(answer: bytes) -> None:
    assert answer == b"late"


def _with_requests(seconds: float) -> None:
    _late(requests.get(f"{_UPSTREAM}?{seconds}", timeout=30).content)


def _with_urllib3(seconds: float) -> None:
    _late(_pool.request("GET", f"{_UPSTREAM}?{seconds}", timeout=30).data)


def _with_http_client(seconds: float) -> None:
    connection = http.client.HTTPConnection(urlsplit(_UPSTREAM).netloc, timeout=30)
    connection.request("GET", f"/?{seconds}")
    _late(connection.getresponse().read())
    connection.close()


def _with_httpx(seconds: float) -> None:
    _late(_client.get(f"{_UPSTREAM}?{seconds}", timeout=30).content)


def _with_urllib_request(seconds: float) -> None:
    with urllib.request.urlopen(f"{_UPSTREAM}?{seconds}", timeout=30) as response:
        _late(response.read())


WAITS: dict[str, Callable[[float], None]] = {
    "requests": _with_requests,
    "urllib3": _with_urllib3,
    "http.client": _with_http_client,
    "httpx": _with_httpx,
    "urllib.request": _with_urllib_request,
}
