"""Two benches at once would measure each other."""

from __future__ import annotations

import threading
from pathlib import Path

from bench.machine.cores import alone


def test_one_sample_at_a_time(tmp_path: Path) -> None:
    """A second bench waits until the first one has its sample, and then goes on."""
    events: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with alone(tmp_path / "lock"):
            events.append("second")

    with alone(tmp_path / "lock"):
        other = threading.Thread(target=second)
        other.start()
        assert waiting.wait(30)
        other.join(0.2)  # may as well have been too slow: then the order shows nothing
        events.append("first")
    other.join(30)
    assert events == ["first", "second"]
