"""Which requests may be asked again."""

from __future__ import annotations

import pytest

from bridge.cutover.shadow.methods import is_safe, overrides_method
from bridge.cutover.shadow.records import RecordedRequest


def asked(query: str = "", field: tuple[str, str] | None = None, body: bytes = b""):
    """A GET."""
    return RecordedRequest("GET", "/a", query, (field,) if field else (), body)


@pytest.mark.parametrize(
    "request_",
    [
        asked(field=("x-http-method-override", "DELETE")),
        asked(field=("x-http-method", "patch")),
        asked(field=("x_method_override", "PUT")),
        asked(field=("x-http-method-override", "GET, DELETE")),
        asked("page=1&_method=DELETE"),
        asked("page=1;%5FMethod=delete"),
        asked("_method=GET&_method=DELETE"),
        asked("X-HTTP-Method-Override=PUT"),
        asked("_method"),
        asked(body=b"%5fmethod=DELETE"),
        asked(body=b'Content-Disposition: form-data; name="_method"\r\n\r\nDELETE'),
    ],
)
def test_a_get_that_names_another_method_is_not_safe(request_: RecordedRequest) -> None:
    """M10: an app may take it from a field, the query or the body, however it is written."""
    assert not is_safe(request_)


@pytest.mark.parametrize(
    "request_",
    [
        asked(),
        asked("page=1&method=DELETE", ("accept", "DELETE"), b"method=1"),
        asked("_method=get", ("x-http-method-override", " HEAD ")),
    ],
)
def test_other_requests_are_safe(request_: RecordedRequest) -> None:
    """M10: a safe method may be named instead of another."""
    assert is_safe(request_)


def test_the_body_may_be_beside_the_request() -> None:
    """M10: as it is for live copies."""
    assert overrides_method(asked(), b"a=1&_method=DELETE")


def test_other_methods_are_not_safe() -> None:
    """M10: whatever they say."""
    for method in ("POST", "DELETE", "get"):
        request = RecordedRequest(method, "/a", "_method=GET")
        assert not is_safe(request)
