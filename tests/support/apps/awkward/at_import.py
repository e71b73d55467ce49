"""An app that starts a thread and a process, and takes a signal, when it is imported."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import Any

from tests.support.apps.awkward.pep3333 import good

done = threading.Event()


def beat() -> None:
    done.wait(0.1)


def on_signal(number: int, frame: Any) -> None:
    pass


thread = threading.Thread(target=beat, daemon=True)
thread.start()
subprocess.run([sys.executable, "-c", ""], check=True)
signal.signal(signal.SIGUSR2, on_signal)

app = good
