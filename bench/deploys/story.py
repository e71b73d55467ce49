"""The proof: one load, while a server is deployed in all ways, in turn (P3, P4, P5, P10).

``scripts/deploys`` runs it for 90 s: our server, and Gunicorn with our worker class. The suite runs
a short form.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.deploys.orders import workers_of
from bench.deploys.site import WORKERS, Site, ask
from bench.load.deploys.outcome import Kill, Outcome
from bench.load.deploys.process import Crowd

#: The longest that anything may take, in seconds, and the pause between two looks.
PATIENCE = 60.0
LOOK = 0.05
REQUESTS = 500
MEGABYTES = 200


class TookTooLong(Exception):
    """The server did not do what it was told."""


@dataclass
class Story:
    """A server under load, and what has been done to it."""

    process: subprocess.Popen[bytes]
    port: int
    site: Site
    crowd: Crowd
    log: Callable[[], str]
    tls: bool = False
    #: Seconds that each part lasts at least, and workers that are replaced after `REQUESTS`.
    pace: float = 1.0
    replaced: int = 8
    kills: list[Kill] = field(default_factory=list)
    told: float | None = None
    steps: list[str] = field(default_factory=list)

    # --------------------------------------------------------- seeing

    def workers(self) -> set[int]:
        return workers_of(self.process.pid)

    def until(self, what: str, holds: Callable[[], object]) -> None:
        """Wait until something holds; raises `TookTooLong`."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise TookTooLong(f"{what}; the server said:\n{self.log()[-3000:]}")
            time.sleep(LOOK)

    def serves_only(self, version: str) -> bool:
        """Whether new connections come to this version only."""
        return all(self.ask("/asgi/who")[1] == version for _ in range(3 * WORKERS))

    def ask(self, path: str) -> tuple[int, str]:
        """Which process answers, and in which version."""
        return ask(self.port, path, self.tls)

    def _note(self, what: str) -> None:
        self.steps.append(f"{time.monotonic():.3f}: {what}")

    def serve(self, seconds: float = 0) -> None:
        """Do nothing for a while: the clients ask."""
        time.sleep(seconds or self.pace)

    # --------------------------------------------------------- doing

    def reload(self, **settings: int) -> str:
        """SIGHUP, onto a new version; and wait until it is served. Returns it."""
        version = self.site.change(**settings)
        self._note(f"SIGHUP onto version {version} {settings or ''}")
        self.process.send_signal(signal.SIGHUP)
        self.until(f"version {version} is not served", lambda: self.serves_only(version))
        self.serve()
        return version

    def reload_broken(self, seen: str) -> None:
        """SIGHUP onto a version that cannot start: `seen` is said, and the old one serves on."""
        before, workers = self.ask("/asgi/who")[1], self.workers()
        at = len(self.log())
        self.site.change(broken=True)
        self._note("SIGHUP onto a version that cannot start")
        self.process.send_signal(signal.SIGHUP)
        self.until(f"{seen!r} was not said", lambda: seen in self.log()[at:])
        self.until("new workers are left", lambda: self.workers() <= workers)
        self.serve()
        assert self.serves_only(before)
        self.site.change()

    def scale(self, number: int, order: Callable[[], object], what: str) -> None:
        """Change the number of workers to `number`, by an order."""
        self._note(f"{what}: {number} workers")
        order()
        self.until(f"there are not {number} workers", lambda: len(self.workers()) == number)
        self.serve()

    def signal(self, number: int) -> Callable[[], None]:
        return lambda: self.process.send_signal(number)

    def ctl(self, *words: str) -> Callable[[], object]:
        """An order by the control socket."""
        command = [sys.executable, "-m", "bridge", "ctl", f"--socket={self.site.control}", *words]
        return lambda: subprocess.run(command, check=True, timeout=PATIENCE)

    def replace_by_requests(self) -> None:
        """max-requests: some workers are replaced; then as before."""
        self.reload(max_requests=REQUESTS)
        seen = set(self.workers())
        first = len(seen)

        def enough() -> bool:
            seen.update(self.workers())
            return len(seen) >= first + self.replaced

        self.until(f"{self.replaced} workers were not replaced", enough)
        self._note(f"max-requests has replaced {len(seen) - first} workers")
        self.reload()

    def replace_by_memory(self) -> None:
        """max-rss: a worker grows above it, and is replaced."""
        self.reload(max_rss=MEGABYTES << 20)
        pid, _ = self.ask(f"/wsgi/grow/{MEGABYTES}")
        self._note(f"worker {pid} has grown")
        self.until(f"worker {pid} was not replaced", lambda: pid not in self.workers())
        self.until("too few workers", lambda: len(self.workers()) >= WORKERS)
        self.reload()

    def kill(self) -> None:
        """SIGKILL to a worker that serves; another one takes its place."""
        pid, _ = self.ask("/asgi/who")
        self._note(f"SIGKILL to worker {pid}")
        self.kills.append(Kill(pid, time.monotonic()))
        os.kill(pid, signal.SIGKILL)
        self.until("nobody took its place", lambda: self._replaced(pid))
        self.serve()

    def _replaced(self, pid: int) -> bool:
        workers = self.workers()
        return pid not in workers and len(workers) >= WORKERS

    def end(self) -> Outcome:
        """SIGTERM; returns what the clients have seen."""
        self._note("SIGTERM")
        self.crowd.ending()
        self.told = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self._note(f"ended with code {self.process.returncode}")
        return self.crowd.stop()


def on_bridge(story: Story, reloads: int) -> None:
    """All that our own server can."""
    for _ in range(reloads):
        story.reload()
    story.reload_broken("this version cannot start")
    story.scale(WORKERS + 1, story.signal(signal.SIGTTIN), "SIGTTIN")
    story.scale(WORKERS, story.signal(signal.SIGTTOU), "SIGTTOU")
    story.replace_by_requests()
    story.replace_by_memory()
    story.kill()
    story.scale(WORKERS + 2, story.ctl("scale", str(WORKERS + 2)), "ctl scale")
    story.scale(WORKERS, story.ctl("scale", str(WORKERS)), "ctl scale")


def on_gunicorn(story: Story, reloads: int) -> None:
    """What Gunicorn can, with our worker class."""
    for _ in range(reloads):
        story.reload()
    story.replace_by_requests()
