"""Apps that wait for another server in each request, by kept-alive connections of their own.

The ports of both servers are in ``BENCH_UPSTREAM``: HTTP, and Redis.
"""

from __future__ import annotations

import http.client
import os
from collections import deque

import redis as redis_py

from bench.peers.upstream import WAIT

BODY = b"Hello, world!"
_HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
_HTTP, _REDIS = (int(port) for port in os.environ.get("BENCH_UPSTREAM", "0,0").split(","))
#: Connections that no request uses.
_free: deque[http.client.HTTPConnection] = deque()
#: redis-py keeps its connections in a pool of its own.
_client = redis_py.Redis(port=_REDIS, protocol=2, max_connections=4_096)


def http_call(environ, start_response):
    """Answer what an HTTP server answers, after `WAIT` seconds."""
    try:
        connection = _free.pop()
    except IndexError:
        connection = http.client.HTTPConnection("127.0.0.1", _HTTP, timeout=10)
    connection.request("GET", "/")
    body = connection.getresponse().read()
    _free.append(connection)
    start_response("200 OK", _HEADERS)
    return [body]


def redis_call(environ, start_response):
    """Wait in Redis for what does not come, for `WAIT` seconds."""
    if _client.blpop("nothing", timeout=WAIT) is not None:
        raise RuntimeError("there was something")
    start_response("200 OK", _HEADERS)
    return [BODY]
