"""Sessions that are over here, and whose other ends may not know it."""

from __future__ import annotations

from bridge.gateway.endings import Endings

ONE, TWO, THREE = (("g.1", number, "g.1") for number in (1, 2, 3))


def test_what_is_to_be_told() -> None:
    """L10: what Redis has got for sure is not told again; each is told once."""
    endings = Endings()
    endings.note(*ONE)
    mark = endings.mark()
    endings.note(*TWO)
    endings.confirm(mark)
    assert endings.take_untold() == []
    endings.lose([THREE, TWO])
    endings.note(*ONE)
    endings.lose([])
    assert endings.take_untold() == [TWO, THREE, ONE]
    assert endings.take_untold() == []
