"""The how-tos on MCP and events, static files, and what watches apps, done as they say."""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live.test_howto_proxy import AROUND, NGINX
from tests.support import hosts
from tests.support.hosts import ROOT, Host
from tests.support.pages import Reader, blocks, shown
from tests.support.waiting import eventually

HOWTO = ROOT / "docs" / "howto"


class Follower(Reader):
    """A reader who also runs a client (``python ask.py``), and listens (``curl -N``)."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack)
        #: Every server of the page, in its order.
        self.hosts: list[Host] = []

    def follow(self, page: Path) -> None:
        """Do all that a page says; a console block without a command is heard from the stream."""
        for language, text in blocks(page):
            if language != "console":
                self.save(text)
            elif not text.startswith("$ "):
                self.hear(text)
            else:
                for step in re.split(r"^\$ ", text, flags=re.M)[1:]:
                    command, _, expected = step.rstrip("\n").partition("\n")
                    self.type(command, expected)

    def type(self, line: str, expected: str) -> None:
        if line.startswith("curl -N "):
            self.listen(line)
            self.hear(expected)
        elif line == "python ask.py":
            for kind in ("", ', mode="legacy"'):
                printed = self.run_client("ask.py", kind)
                assert shown(expected, printed), (line, kind, printed)
        else:
            super().type(line, expected)

    def serve(self, program: str, line: str) -> None:
        super().serve(program, line)
        assert self.host is not None
        self.hosts.append(self.host)

    def run_client(self, name: str, kind: str) -> str:
        """What a client of the page prints, which may be of a `kind` of its own."""
        assert self.host is not None
        text = (self.folder / name).read_text().replace("8000", str(self.host.port))
        (self.folder / f"own_{name}").write_text(text.replace('/mcp")', f'/mcp"{kind})'))
        return self.run(f"{sys.executable} -W ignore own_{name}")

    def listen(self, line: str) -> None:
        """Open a stream, which stays open."""
        assert self.host is not None
        url = self.host.url(re.sub(r"^\S+//[^/]+", "", line.split()[-1]))
        self.stream = self.stack.enter_context(httpx.stream("GET", url, timeout=30))
        self._lines = self.stream.iter_lines()

    def hear(self, expected: str) -> None:
        """Read the stream until it has said what is expected, and nothing else."""
        printed = ""
        while not shown(expected, printed):
            printed += f"{next(self._lines)}\n"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Follower]:
    with ExitStack() as stack:
        yield Follower(tmp_path, stack)


@pytest.mark.slow
def test_mcp_and_events(reader: Follower) -> None:
    """D2 D3 W40: MCP clients of each protocol, two workers; a stream, and its client leaves."""
    reader.follow(HOWTO / "mcp-and-events.md")
    host = reader.hosts[-1]
    assert httpx.get(host.url()).text == "listening: 1\n"
    reader.stream.close()
    eventually(lambda: httpx.get(host.url()).text == "listening: 0\n")


class Collector(ThreadingHTTPServer):
    """What takes the events of Sentry."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taker)
        self.events: list[dict[str, Any]] = []


class Taker(BaseHTTPRequestHandler):
    """Takes an envelope: JSON, a line for each part."""

    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        parts = [json.loads(line) for line in body.splitlines() if line.startswith(b"{")]
        self.server.events += [part for part in parts if "exception" in part]
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("SENTRY_DSN", f"http://key@127.0.0.1:{server.server_port}/1")
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_what_watches_apps(reader: Follower, collector: Collector) -> None:
    """D2 P11: spans of both apps in the client's trace, their errors, and counts of all workers."""
    reader.follow(HOWTO / "watch-apps.md")
    traced, _, _ = reader.hosts
    spans = re.findall(r'"name": "(.*?)",\s+"context": \{\s+"trace_id": "0x(\w+)"', traced.log())
    names = {name for name, trace in spans if trace == "0af7651916cd43dd8448eb211c80319c"}
    assert "GET /" in names
    assert any("/stock" in name for name in names), names
    eventually(lambda: len(collector.events) == 2)
    urls = {each["request"]["url"].partition("/new")[1] for each in collector.events}
    assert urls == {"", "/new"}
    said = {each["exception"]["values"][-1]["value"] for each in collector.events}
    assert said == {"the old shop is broken", "the new shop is broken"}


def test_static_files(reader: Follower) -> None:
    """W40 S1: WhiteNoise around the app, `StaticFiles` beside it, and what the app itself sends."""
    reader.follow(HOWTO / "static-files.md")
    assert len(reader.answers) == 3


@pytest.mark.skipif(NGINX is None, reason="needs Debian's package nginx")
def test_nginx_sends_what_the_app_allows(reader: Follower) -> None:
    """W40: it serves what is public by itself, and the rest only if the view says so."""
    folder = reader.folder
    for language, text in blocks(HOWTO / "static-files.md"):
        if language != "console":
            reader.save(text)
    app = replace(hosts.bridge("old:app"), cwd=folder)
    ours = reader.stack.enter_context(hosts.start(app))
    site = (folder / "nginx.conf").read_text().replace("/srv/shop", str(folder))
    site = site.replace("listen 80;", "listen 127.0.0.1:PORT;")
    site = site.replace("127.0.0.1:8000", f"127.0.0.1:{ours.port}")
    user = "user root root;" if os.getuid() == 0 else ""
    text = AROUND.replace("USER", user).replace("CONF", site).replace("FOLDER", str(folder))
    (folder / "template").write_text(text)
    line = (
        f"sed s/PORT/{{port}}/ {folder}/template > {folder}/nginx.conf && "
        f"exec {NGINX} -p {folder} -e stderr -c {folder}/nginx.conf"
    )
    nginx = hosts.Command("nginx", ("bash", "-c", line), cwd=folder)
    with hosts.start(nginx) as host:
        assert httpx.get(host.url("/static/shop.js")).text.endswith('console.log("open");\n')
        assert httpx.get(host.url("/reports/may.csv")).status_code == 404
        assert httpx.get(host.url("/report-by-nginx")).status_code == 403
        allowed = httpx.get(host.url("/report-by-nginx?role=boss"))
        assert (allowed.status_code, allowed.text) == (200, "# reports/may.csv\napples,3\n")
        assert allowed.headers["content-type"] == "text/csv"
