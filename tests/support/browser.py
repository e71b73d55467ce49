"""A real browser for tests: Debian's Chromium, headless, spoken to over its DevTools protocol.

    with browse() as page:
        page.open(host.url("/"))
        page.wait_for("document.title")

Each use has a profile of its own, empty and in a temporary folder; nothing of it is kept.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

#: No window and no sandbox, as in a container; and nothing but what the test asks for.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
TIMEOUT = 30.0


class Page:
    """One tab of the browser whose DevTools listen on `port`."""

    def __init__(self, devtools: ClientConnection, port: str) -> None:
        self._devtools = devtools
        self._port = port
        self._numbers = itertools.count(1)

    @contextmanager
    def another(self) -> Iterator[Page]:
        """Another tab of the same browser, for as long as the block lasts."""
        tab = httpx.put(f"http://127.0.0.1:{self._port}/json/new", trust_env=False).json()
        with connect(tab["webSocketDebuggerUrl"], max_size=None, proxy=None) as devtools:
            page = Page(devtools, self._port)
            try:
                yield page
            finally:
                page._call("Page.close")

    def open(self, url: str) -> None:
        """Load `url`; returns when all of it is there."""
        gone = self._call("Page.navigate", url=url).get("errorText")
        assert not gone, f"{url}: {gone}"
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression, once it is resolved."""
        told = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """The value of `script` as soon as it is true; on the way pages may come and go."""

        def look() -> Any:
            try:
                return self.evaluate(script)
            except (AssertionError, DevToolsError):  # on its way to another page
                return None

        return _wait(look, script)

    def emulate_phone(self, width: int = 390, height: int = 844) -> None:
        """Lay out pages from now on as a phone of this size does; 0: as before."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width > 0,
        )

    def choose_file(self, selector: str, path: Path) -> None:
        """Put a file into the form's input that `selector` names."""
        root = self._call("DOM.getDocument")["root"]["nodeId"]
        node = self._call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._devtools.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._devtools.recv(timeout=TIMEOUT))
            if message.get("id") == number:
                if "error" in message:
                    raise DevToolsError(f"{method}: {message['error']}")
                return dict(message["result"])


class DevToolsError(Exception):
    """The browser could not do what it was asked for."""


@contextmanager
def browse() -> Iterator[Page]:
    """A browser with one empty tab."""
    assert CHROMIUM, "there is no chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port_file = Path(folder) / "DevToolsActivePort"
            port = _wait(lambda: port_file.exists() and port_file.read_text(), "a port").split()[0]
            tabs = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
            (address,) = [tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"]
            with connect(address, max_size=None, proxy=None) as devtools:
                yield Page(devtools, port)
        finally:
            process.terminate()
            process.wait(TIMEOUT)


def _wait(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.05)  # the pace of looking
    raise TimeoutError(f"waited {TIMEOUT} s for {what}")
