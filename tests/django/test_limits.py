"""Limits of async views on servers that do not know them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from bridge.django.app import application
from bridge.errors import RequestTimeout
from tests.support.django_here import closes_what_is_cancelled, project, set_up
from tests.support.in_process import http

set_up()


async def upload(request: Any) -> HttpResponse:
    return HttpResponse(str(len(request.body)))


async def slow(request: Any) -> HttpResponse:
    await asyncio.sleep(60)
    return HttpResponse()


async def own(request: Any) -> HttpResponse:
    raise TimeoutError("of the view")


async def stream(request: Any) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[str]:
        for _ in range(5):
            await asyncio.sleep(0.1)
            yield "x"
        await asyncio.sleep(60 * ("stuck" in request.GET))

    return StreamingHttpResponse(pieces())


ROUTES = [path(each.__name__, each) for each in (upload, slow, own, stream)]


def test_large_bodies() -> None:
    """M30: a body of more than `max_body_size` is a 413, with or without its length."""
    with project(*ROUTES):
        app = application(max_body_size=7)
        for headers in ([], [(b"content-length", b"8")]):
            answer = http(app, "/upload", [b"1234", b"5678"], method="POST", headers=headers)
            assert answer.status == 413
            assert b"more than 7 bytes" in answer.body
        answer = http(app, "/upload", [b"1234", b"567"], method="POST")
        assert (answer.status, answer.body) == (200, b"7")
        answer = http(app, "/upload", method="HEAD", headers=[(b"content-length", b"8")])
        assert (answer.status, answer.body) == (413, b"")


@closes_what_is_cancelled
def test_slow_views(caplog: pytest.LogCaptureFixture) -> None:
    """M30, R2: one that does not begin its response within `timeout_request` is a 504."""
    with project(*ROUTES):
        answer = http(application(timeout_request=0.2), "/slow")
        assert (answer.status, answer.body) == (504, b"Gateway Timeout\n")
        assert "GET /slow has run for longer than timeout_request (0.2 s)" in caplog.text
        caplog.set_level(logging.CRITICAL)
        assert http(application(timeout_request=20), "/own").status == 500


@closes_what_is_cancelled
def test_streams() -> None:
    """M30, R2: each piece has that time; a response that breaks it off is cut."""
    with project(*ROUTES):
        app = application(timeout_request=0.4)
        assert http(app, "/stream").body == b"xxxxx"
        with pytest.raises(RequestTimeout):
            http(app, "/stream", query_string=b"stuck=1")
