"""How a copied request says that it is one."""

from __future__ import annotations

from bridge.cutover.shadow.copying.marks import (
    EXTENSION,
    copied_scope,
    is_copy,
    kept_scope,
    without_claim,
)
from tests.support.in_process import http_scope


def test_a_copy_says_so_once() -> None:
    """M10: by a field and in the scope; what a client has sent as that field is gone."""
    scope = http_scope("/", headers=[(b"X-Shadow", b"no"), (b"a", b"1")])
    scope["extensions"] = {"http.response.pathsend": {}, "tls": {"x": 1}}
    copied = copied_scope(scope, "a", "new")
    assert copied["headers"] == [(b"a", b"1"), (b"x-shadow", b"1")]
    assert copied["extensions"] == {EXTENSION: {"route": "a", "side": "new"}, "tls": {"x": 1}}
    assert is_copy(copied)
    assert not is_copy(scope)


def test_no_client_can_say_it() -> None:
    """M10: the field is taken away from a client's request, and left to a copy."""
    plain = http_scope("/")
    assert without_claim(plain) is plain
    claimed = http_scope("/", headers=[(b"x-shadow", b"1"), (b"a", b"1"), (b"X-Shadow", b"2")])
    assert without_claim(claimed)["headers"] == [(b"a", b"1")]
    copied = copied_scope(claimed, "a", "new")
    assert without_claim(copied) is copied


def test_what_an_app_puts_into_its_scope_is_not_kept() -> None:
    """M10: the copy is of what was asked."""
    scope = http_scope("/", state={"a": 1})
    kept = kept_scope(scope)
    scope["headers"].clear()
    scope["state"]["b"] = 2
    scope["path"] = "/other"
    assert kept["headers"] == [(b"host", b"example.com")]
    assert (kept["state"], kept["path"]) == ({"a": 1}, "/")
