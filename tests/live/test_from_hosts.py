"""The guides from daphne, uWSGI, mod_wsgi and Unit: what differs, and their options."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from daphne.cli import CommandLineInterface
from websockets.sync.client import connect

from bridge.server.cli import main
from bridge.server.config.config import SETTINGS
from tests.conftest import StartHost
from tests.contract.asgi_on_wsgi.hosts import MODULES, mod_wsgi, uwsgi, why_no_mod_wsgi
from tests.live.test_from_servers import FROM, REQUESTS, options_on, status, written
from tests.support import hosts
from tests.support.hosts import Command
from tests.support.pages import Reader, blocks, table

HELLO = "tests.support.apps.hello"
THEIRS = {
    "daphne": hosts.python("daphne", "-m", "daphne", "-p", "{port}", f"{HELLO}:asgi"),
    "uwsgi": uwsgi(f"{HELLO}:wsgi"),
}
OURS = {"daphne": hosts.bridge(f"{HELLO}:asgi"), "uwsgi": hosts.bridge(f"{HELLO}:wsgi")}
LONG = f"GET / HTTP/1.1\r\nHost: x\r\nX-Long: {'x' * 5000}\r\nConnection: close\r\n\r\n"


def read(page: Path, folder: Path, stack: ExitStack) -> Reader:
    """Do what a page says; its last server still runs."""
    reader = Reader(folder, stack)
    for language, text in blocks(page):
        if language == "console":
            for step in re.split(r"^\$ ", text, flags=re.M)[1:]:
                command, _, expected = step.rstrip("\n").partition("\n")
                reader.type(command, expected)
        elif language != "json":  # has no comments, so no name of its file
            reader.save(text)
    return reader


def in_folder(command: Command, folder: Path) -> Command:
    """The same command for an app in `folder`."""
    return replace(command, cwd=folder)


# ------------------------------------------------------------- what differs


@pytest.mark.parametrize("name", THEIRS)
def test_what_differs(shared_host: StartHost, name: str) -> None:
    """S63: each request of the page, sent to theirs and to ours."""
    # They wait for the end of a head whose lines end without CR.
    requests = {row: asked for row, asked in REQUESTS.items() if "without CR" not in row}
    if name == "uwsgi":
        requests["a head of 5 KB"] = LONG
    theirs, ours = shared_host(THEIRS[name]), shared_host(OURS[name])
    found = [[row, status(theirs, asked), status(ours, asked)] for row, asked in requests.items()]
    assert found == table(FROM / f"{name}.md", "What differs")


@pytest.mark.parametrize("name", ["daphne", "bridge"])
def test_a_consumer_of_channels(tmp_path: Path, name: str) -> None:
    """S20: the project of the page has its WebSocket with daphne and with ours."""
    with ExitStack() as stack:
        reader = Reader(tmp_path, stack)
        for language, text in blocks(FROM / "daphne.md"):
            if language == "python":
                reader.save(text)
        target = "mysite.asgi:application"
        command = hosts.python("daphne", "-m", "daphne", "-p", "{port}", target)
        if name == "bridge":
            command = hosts.bridge(target)
        host = stack.enter_context(hosts.start(in_folder(command, tmp_path)))
        with connect(host.url("/echo", "ws"), proxy=None) as ws:
            ws.send("hello")
            assert ws.recv(20) == "hello"


# ------------------------------------------------------------- Apache, before and after


@pytest.fixture
def site() -> Iterator[Path]:
    """A folder that Apache may read, which is not root."""
    with tempfile.TemporaryDirectory(prefix="shop-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.skipif(why_no_mod_wsgi() != "", reason=why_no_mod_wsgi())
def test_apache_before_and_after(site: Path) -> None:
    """S32: the same app, in Apache and behind it; it sees the client and its URL both times."""
    with ExitStack() as stack:
        reader = read(FROM / "mod_wsgi.md", site, stack)
        assert reader.host is not None
        head, _, rest = mod_wsgi().files["apache.conf"].partition("WSGISocketPrefix")
        (path,) = re.findall(r"python-path=(\S+)", rest)
        lines = (site / "before.conf").read_text().replace("/srv/shop", str(site))
        lines = lines.replace("python-path=", f"python-path={path}:")
        proxy = "".join(
            f"LoadModule {each}_module {MODULES}/mod_{each}.so\n"
            for each in ("proxy", "proxy_http", "headers")
        )
        for text in (
            f"{head}WSGISocketPrefix {{folder}}/wsgi\n{lines}",
            head + proxy + (site / "after.conf").read_text().replace("8000", str(reader.host.port)),
        ):
            command = replace(mod_wsgi(), files={"apache.conf": text})
            host = stack.enter_context(hosts.start(command))
            assert httpx.get(host.url()).text == "Welcome to the old shop\n"
            seen = httpx.get(host.url("/seen"), headers={"Forwarded": "for=192.0.2.1"}).json()
            assert seen == {"client": "127.0.0.1", "url": host.url("/seen")}


# ------------------------------------------------------------- Unit


def test_what_was_unit_s(tmp_path: Path) -> None:
    """D1 S61: two targets of an application are two mounts, in a file."""
    with ExitStack() as stack:
        assert len(read(FROM / "unit.md", tmp_path, stack).answers) == 2


# ------------------------------------------------------------- options


def test_every_option_of_daphne_is_on_the_page() -> None:
    """S63: with its default, read from the program."""
    actions = [
        each
        for each in CommandLineInterface().parser._actions
        if each.option_strings and each.dest != "help"
    ]
    theirs = {option: each.default for each in actions for option in each.option_strings}
    rows = options_on(FROM / "daphne.md")
    assert {option for row in rows for option in row[0]} == {*theirs}
    for options, default, _, _ in rows:
        assert {written(theirs[option]) for option in options} == {default}, options


@pytest.mark.parametrize("name", ["daphne", "uwsgi", "mod_wsgi", "unit"])
def test_what_is_said_of_ours(name: str) -> None:
    """S63: each option that a page names is there, with the default that it says."""
    serve = main.commands["serve"].params  # type: ignore[attr-defined]
    ours = {option for each in serve for option in (*each.opts, *each.secondary_opts)}
    defaults = {flag: each.shown_default for each in SETTINGS for flag in each.flags}
    for _, _, here, default_here in options_on(FROM / f"{name}.md"):
        advised = re.findall(r"`(--?[a-z][\w-]*)", here)
        assert {*advised} <= ours, here
        assert default_here == (defaults.get(advised[0], "") if advised else ""), here
