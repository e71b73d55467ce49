"""An app that a replay asks: on our server, in a process of its own, for as long as it is asked.

Old and new are two processes, so that two projects of Django, or two modules of one name, do not
meet. The process ends when its standard input does: also if the replay was killed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bridge.errors import AppLoadError

#: Seconds in which an app must have started.
STARTING = 60.0
#: Seconds in which it must end.
_ENDING = 10.0


@contextmanager
def hosted(name: str, target: str, app_dir: str) -> Iterator[str]:
    """Serve `target` as long as the block lasts; gives its address.

    `target` is ``module:attr``, and may begin with its kind: ``wsgi:module:attr``. `name` says
    which side it is. Raises `AppLoadError` if it does not start; the process has said why, as what
    the app logs goes where our own errors go.
    """
    with tempfile.TemporaryDirectory(prefix="bridge-replay-") as folder:
        path = os.path.join(folder, "socket")
        command = [sys.executable, "-m", __name__, target, path, app_dir]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2)
        try:
            _wait(process, path, f"the {name} app, {target},")
            yield f"unix:{path}"
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(_ENDING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], path: str, what: str) -> None:
    end = time.monotonic() + STARTING
    while process.poll() is None:
        with socket.socket(socket.AF_UNIX) as sock:
            if sock.connect_ex(path) == 0:
                return
        if time.monotonic() > end:
            raise AppLoadError(
                f"{what} has not started within {STARTING:g} s; see what its import and startup "
                "wait for"
            )
        time.sleep(0.02)
    raise AppLoadError(
        f"{what} did not start, with the exit code {process.returncode}; the lines above say why"
    )


def _serve(target: str, path: str, app_dir: str) -> None:
    """Be that process."""
    from bridge.arguments.kinds import KINDS
    from bridge.server.commands.running import run
    from bridge.server.config.config import Config

    def end_with_input() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_input, daemon=True).start()
    kind, _, name = target.partition(":")
    named = kind in KINDS and ":" in name.partition("(")[0]
    run(
        Config(
            app=name if named else target,
            interface=kind if named else "auto",
            bind=(f"unix:{path}",),
            app_dir=app_dir,
            access_log=False,
            log_level="warning",
        )
    )


if __name__ == "__main__":
    _serve(*sys.argv[1:4])
