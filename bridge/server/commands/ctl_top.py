"""`asgi-bridge ctl top`: a frame each second, with what each worker did in it (O3)."""

from __future__ import annotations

import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from bridge.server.control.text import summary, workers_table

#: Seconds between two frames.
PERIOD: Final = 1.0
#: Keys that end it: q, and CTRL+C, CTRL+D if the terminal passes them on.
_ENDING: Final = (b"q", b"Q", b"\x03", b"\x04", b"")

_HOME, _REST_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"
_OTHER_SCREEN, _USUAL_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


class Top:
    """Two samples, a second apart, give the rates of a frame. `ask` returns the status."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask
        self._last: tuple[float, Any] | None = None

    def figures(self) -> Any:
        """Return the status, with ``rate`` and ``cpu_share`` (percent) of each worker."""
        status, rates = self._sample()
        for worker in status["workers"]:
            worker["rate"], worker["cpu_share"] = rates.get(worker["pid"], (None, None))
        return status

    def frame(self) -> str:
        """Return the text of one frame; the first one takes a second."""
        status, rates = self._sample()
        workers = status["workers"]
        return f"{summary(status, workers, time.time())}\n\n{workers_table(workers, rates)}"

    def show(self, *, once: bool) -> None:
        """Draw on the terminal until a key ends it; `once`, or into a pipe: print one frame."""
        if once or not sys.stdout.isatty():
            print(self.frame())
            return
        with _keys() as key:
            while True:
                self._draw(self.frame())
                if key(PERIOD):
                    return

    def _draw(self, frame: str) -> None:
        width, height = shutil.get_terminal_size()
        lines = [line[:width] + _REST_OF_LINE for line in [*frame.split("\n"), "", _HELP][:height]]
        sys.stdout.write(_HOME + "\n".join(lines) + _REST)
        sys.stdout.flush()

    def _sample(self) -> tuple[Any, dict[int, tuple[float, float | None]]]:
        """Return the status, and for each pid its requests a second and its share of a CPU."""
        if self._last is None:
            self._last = time.monotonic(), self._ask()
            time.sleep(PERIOD)
        then, before = self._last
        status, now = self._ask(), time.monotonic()
        self._last = now, status
        known = {worker["pid"]: worker for worker in before["workers"]}
        return status, {
            worker["pid"]: _rates(known[worker["pid"]], worker, now - then)
            for worker in status["workers"]
            if worker["pid"] in known
        }


_HELP: Final = "q: quit"


def _rates(before: Any, worker: Any, seconds: float) -> tuple[float, float | None]:
    rate = (worker["served"] - before["served"]) / seconds
    if worker["cpu"] is None or before["cpu"] is None:
        return rate, None
    return rate, 100 * (worker["cpu"] - before["cpu"]) / seconds


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Use another screen; yield a function that waits, and says whether a key has ended it."""
    stdin = sys.stdin
    usual = termios.tcgetattr(stdin) if stdin.isatty() else None

    def ended(seconds: float) -> bool:
        if usual is None:
            time.sleep(seconds)
            return False
        readable, _, _ = select.select([stdin], [], [], seconds)
        return bool(readable) and os.read(stdin.fileno(), 1) in _ENDING

    try:
        if usual is not None:
            tty.setcbreak(stdin)
        sys.stdout.write(_OTHER_SCREEN)
        yield ended
    except KeyboardInterrupt:
        pass
    finally:
        sys.stdout.write(_USUAL_SCREEN)
        sys.stdout.flush()
        if usual is not None:
            termios.tcsetattr(stdin, termios.TCSADRAIN, usual)
