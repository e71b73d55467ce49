"""The fields of a response as apps give them: their shape."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import IllegalMessage
from bridge.http.response_fields import as_fields


class TestShape:
    def test_left_out(self) -> None:
        """A20: headers may be left out."""
        assert as_fields(None) == []

    @pytest.mark.parametrize("made", [tuple, iter, list])
    def test_any_iterable(self, made: Any) -> None:
        """A20: the fields may come as any iterable of pairs."""
        assert as_fields(made([(b"a", b"b")])) == [(b"a", b"b")]

    @pytest.mark.parametrize("headers", ["a: b", b"a", {b"a": b"b"}, 5])
    def test_wrong_shape(self, headers: Any) -> None:
        """A21: what is not an iterable of pairs is named."""
        with pytest.raises(IllegalMessage, match=type(headers).__name__):
            as_fields(headers)
