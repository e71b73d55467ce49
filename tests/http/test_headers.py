"""Names and values of header fields, as tables of bytes."""

from __future__ import annotations

import pytest

from bridge.errors import RequestError
from bridge.http.headers import content_length, has_controls, is_length, is_token, list_members

TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_tokens() -> None:
    """W34, S10: a name is made of the characters of RFC 9110 §5.6.2, and is not empty."""
    assert [byte for byte in range(256) if is_token(bytes([byte]))] == sorted(TOKEN)
    assert is_token(TOKEN)
    assert not is_token(b"")
    for wrong in (b"a b", b" a", b"a\n", b"a:", b"\xe9"):
        assert not is_token(wrong)


def test_controls() -> None:
    """W34, S10: all controls but the tab, wherever they stand."""
    found = [byte for byte in range(256) if has_controls(b"a%cb" % byte)]
    assert found == [*range(9), *range(10, 32), 127]
    assert not has_controls(b"")
    assert has_controls(b"\0")


@pytest.mark.parametrize("value", [b"0", b"5", b"05", b"9" * 19])
def test_lengths(value: bytes) -> None:
    """W36, S10: a Content-Length is digits, so few that every reader can count to it."""
    assert is_length(value)
    assert content_length(value) == int(value)


@pytest.mark.parametrize(
    "value", [b"", b"-1", b"+1", b"1.0", b"0x5", b"5 5", b"\xb2", b"5\n", b"1_0", b"9" * 20]
)
def test_what_is_no_length(value: bytes) -> None:
    """W8, S10: all else is a 400 in a request."""
    assert not is_length(value)
    with pytest.raises(RequestError, match="must be digits only") as caught:
        content_length(value)
    assert caught.value.status == 400


def test_lists_of_lengths() -> None:
    """W8: equal numbers in a list are one number; different ones are a 400."""
    assert content_length(b"5, 5") == content_length(b"5,\t5 ") == 5
    with pytest.raises(RequestError, match="has different values: b'5, 6'"):
        content_length(b"5, 6")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"", []),
        (b" , ,", []),
        (b"Close", [b"close"]),
        (b"keep-alive, Upgrade", [b"keep-alive", b"upgrade"]),
        (b"\ta ,,b c", [b"a", b"b c"]),
    ],
)
def test_members(value: bytes, found: list[bytes]) -> None:
    """S1: a list field is read without blanks, case and empty members (RFC 9110 §5.6.1)."""
    assert list_members(value) == found
