"""`--reload`: files that change under a real server, and which files count."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.process import watcher as module
from bridge.server.process.channel import Channel
from bridge.server.process.forking import ForkingLoop
from bridge.server.process.watcher import Watcher, concerns, watched_directories
from tests.support.hosts import Host, bridge, start
from tests.support.processes import children
from tests.support.waiting import eventually

SOURCE = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"{version}"]
"""


class Shop:
    """A server that watches a folder of its own."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self.folder = folder
        self._running = running

    def write(self, version: str) -> None:
        """Write the code in one step, as editors do."""
        (self.folder / "new").write_text(SOURCE.replace("{version}", version))
        os.replace(self.folder / "new", self.folder / "shop.py")

    def serve(self, *settings: str) -> Host:
        command = bridge("shop:app", f"--app-dir={self.folder}", "--reload", *settings)
        host = self._running.enter_context(
            start(command.with_env(PYTHONDONTWRITEBYTECODE="1", BRIDGE_RELOAD_DIR=str(self.folder)))
        )
        eventually(lambda: f"watching for changes: {self.folder}" in host.log())
        return host


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with ExitStack() as running:
        yield Shop(tmp_path, running)


def get(host: Host) -> str:
    return httpx.get(host.url(), timeout=60).text


def test_a_change_of_a_file_is_served_soon(shop: Shop) -> None:
    """P9: new workers have the new code; the socket listens all the time."""
    shop.write("one")
    host = shop.serve()
    assert get(host) == "one"
    shop.write("two")
    eventually(lambda: get(host) == "two")
    assert "changed: " in host.log()
    assert "shop.py" in host.log()
    assert host.stop() == 0


def test_an_error_waits_for_the_next_change(shop: Shop) -> None:
    """P9: the old code serves on until then."""
    shop.write("one")
    host = shop.serve()
    (shop.folder / "shop.py").write_text("def (")
    eventually(lambda: "the reload was given up, and the old workers serve on" in host.log())
    assert "SyntaxError" in host.log()
    assert get(host) == "one"
    shop.write("two")
    eventually(lambda: get(host) == "two")


@pytest.mark.parametrize("repaired", [True, False])
def test_a_server_that_cannot_start_waits_for_a_change(shop: Shop, repaired: bool) -> None:
    """P9: code that is wrong from the first on ends nothing; SIGTERM does."""
    (shop.folder / "shop.py").write_text("def (")
    host = shop.serve()
    eventually(lambda: "could not start: waiting until a file changes" in host.log())
    if repaired:
        (shop.folder / "shop.py").write_text("def ((")
        eventually(lambda: "given up, and waiting until a file changes" in host.log())
        shop.write("one")
        assert get(host) == "one"
    assert host.stop() == 0


def test_other_files_count_if_they_are_named(shop: Shop) -> None:
    """P9: a template by a pattern; a folder that is left out stays so."""
    shop.write("one")
    (shop.folder / "old").mkdir()
    host = shop.serve("--reload-include", "*.html", "--reload-exclude", "old", "--reload-delay=0")
    (shop.folder / "old" / "a.py").write_text("")
    (shop.folder / "notes.txt").write_text("")
    (shop.folder / "page.html").write_text("")
    eventually(lambda: "reloaded: 1 new worker" in host.log())
    assert host.log().count("changed: ") == 1
    (changed,) = [line for line in host.log().splitlines() if "changed: " in line]
    assert changed.endswith("page.html")


def test_the_watcher_ends_with_its_supervisor(shop: Shop) -> None:
    """P7: also if that was killed; nothing of it listens any more."""
    shop.write("one")
    host = shop.serve()
    eventually(lambda: len(children(host.process.pid)) == 2)
    pids = children(host.process.pid)
    os.kill(host.process.pid, signal.SIGKILL)
    host.process.wait()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_a_watcher_that_has_ended_is_told(shop: Shop) -> None:
    """P9: the server goes on, and says that nothing is watched."""
    shop.write("one")
    host = shop.serve()
    watcher = min(children(host.process.pid))  # the first that is forked
    os.kill(watcher, signal.SIGTERM)
    eventually(lambda: "files are not watched any more" in host.log())
    assert get(host) == "one"
    assert host.stop() == 0


# ------------------------------------------------------------- what is watched


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("/src/shop/app.py", True),
        ("/src/shop/page.html", False),
        ("/src/shop/templates/page.jinja", True),
        ("/src/shop/.hidden.py", False),
        ("/src/shop/.venv/lib/a.py", False),
        ("/src/shop/node_modules/a.py", False),
        ("/src/shop/build/a.py", False),
        ("/src/shop/kept/a.py", False),
        ("/src/shop/kept_too/a.py", True),
        ("/src/shop/test_a.py", False),
        ("/src/shop/.env", True),
        ("/src/.other/app.py", True),
    ],
)
def test_which_files_count(path: str, counts: bool) -> None:
    """P9: Python files, and what is included; nothing hidden, generated or excluded.

    The names above what is watched do not matter.
    """
    directories = ["/src/shop", "/src/.other"]
    include, exclude = ["*.jinja", ".env"], ["build", "test_*.py", "/src/shop/kept"]
    assert concerns(path, directories, include, exclude) is counts


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """P9: before anything starts."""
    with pytest.raises(ConfigError, match=f"reload_dir is {tmp_path}/no, and there is no such"):
        watched_directories(Config(reload=True, reload_dir=(f"{tmp_path}/no",)))
    given = (str(tmp_path), f"{tmp_path}/")
    assert watched_directories(Config(reload_dir=given)) == [str(tmp_path)]
    assert watched_directories(Config()) == [str(Path.cwd())]
    assert watched_directories(Config(app_dir=str(tmp_path))) == [str(tmp_path), str(Path.cwd())]


def test_without_the_library_the_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """P9: the error says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'asgi-bridge\[reload\]'"):
        watched_directories(Config(reload=True))


# ------------------------------------------------------------- both sides in this process


def test_nothing_is_watched_without_the_setting() -> None:
    """P9: no process is forked."""
    forking = ForkingLoop()
    watcher = Watcher(forking.loop, lambda: None)
    watcher.start(Config(), forking, [], [])
    watcher.close()
    forking.close()


def test_what_the_watcher_says_is_heeded(caplog: pytest.LogCaptureFixture) -> None:
    """P9: names of some files, errors, and of another version nothing."""
    caplog.set_level("INFO", "bridge.error")
    changes: list[int] = []
    watcher = Watcher(asyncio.new_event_loop(), lambda: changes.append(1))
    for message in (
        {"type": "changed", "files": ["a.py", "b.py", "c.py", "d.py"]},
        {"type": "failed", "error": "OSError: limit"},
        {"type": "other"},
    ):
        watcher._heed(message)
    watcher._loop.close()
    assert changes == [1]
    assert [each.getMessage() for each in caplog.records] == [
        "changed: a.py, b.py, c.py and 1 more",
        "files cannot be watched: OSError: limit",
    ]


def test_the_watcher_tells_what_it_sees(tmp_path: Path) -> None:
    """P9: that it watches, then each change, until the supervisor has gone; or why it cannot."""
    ours, theirs = Channel.pair()
    config = Config(reload_delay=0.01)
    seen: list[dict[str, Any]] = []
    original = theirs.receive

    def supervise() -> list[dict[str, Any]]:
        """Stand for the supervisor, between two looks of the watcher."""
        seen.extend(ours.receive())
        if any(each["type"] == "changed" for each in seen):
            ours.close()
        elif seen:
            (tmp_path / "a.py").write_text("")
        return original()

    theirs.receive = supervise  # type: ignore[method-assign]
    module._watch(config, [str(tmp_path)], theirs)
    theirs.close()
    assert [each["type"] for each in seen] == ["watching", "changed"]
    ours, theirs = Channel.pair()
    module._watch(config, [str(tmp_path / "none")], theirs)
    (message,) = ours.receive()
    assert message["type"] == "failed"
    ours.close()
    module._watch(config, [str(tmp_path / "none")], theirs)
    theirs.close()
