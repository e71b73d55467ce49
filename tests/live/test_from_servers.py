"""The guides from other servers: what differs, their options, and their defaults."""

from __future__ import annotations

import argparse
import inspect
import re
from pathlib import Path
from typing import Any

import click
import granian.cli
import hypercorn.__main__
import pytest
import uvicorn
from hypercorn.config import Config

from bridge.server.cli import main
from bridge.server.config.config import SETTINGS
from tests.conftest import StartHost
from tests.support import hosts
from tests.support.hosts import ROOT, Host
from tests.support.pages import table

FROM = ROOT / "docs" / "howto" / "from"
APP = "tests.support.apps.hello:asgi"
COMMANDS = {
    "uvicorn": hosts.uvicorn(APP),
    "hypercorn": hosts.hypercorn(APP),
    "granian": hosts.python("granian", "-m", "granian", "--interface=asginl", "--port={port}", APP),
    "gunicorn": hosts.gunicorn(APP, worker="uvicorn_worker.UvicornWorker"),
}
OURS = {"gunicorn": hosts.gunicorn(APP, worker=hosts.BRIDGE_WORKER)}

# ------------------------------------------------------------- what differs

_POST = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
#: Each row of the tables -> the request that it is about.
REQUESTS = {
    "HTTP/1.1 without `Host`": "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    "two `Content-Length` that differ": (
        f"{_POST}Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc"
    ),
    "`Content-Length` and `Transfer-Encoding`": (
        f"{_POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a space before the colon of a field": (
        "GET / HTTP/1.1\r\nHost: x\r\nX-Y : z\r\nConnection: close\r\n\r\n"
    ),
    "lines that end without CR": "GET / HTTP/1.1\nHost: x\nConnection: close\n\n",
    "200 fields": (
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        + "".join(f"X-{number}: y\r\n" for number in range(198))
        + "\r\n"
    ),
}


def status(host: Host, request: str) -> str:
    """The status of what a server answers; ``none`` if it closes without an answer."""
    with host.connect() as client:
        client.sendall(request.encode())
        answer = b""
        try:
            while piece := client.recv(4096):
                answer += piece
        except ConnectionResetError:
            pass
    return answer.split()[1].decode() if answer else "none"


@pytest.mark.parametrize("name", COMMANDS)
def test_what_differs(shared_host: StartHost, name: str) -> None:
    """S63: each request of the page, sent to theirs and to ours."""
    page = table(FROM / f"{name}.md", "What differs")
    theirs = shared_host(COMMANDS[name])
    ours = shared_host(OURS.get(name, hosts.bridge(APP)))
    found = [[row, status(theirs, asked), status(ours, asked)] for row, asked in REQUESTS.items()]
    assert found == page


# ------------------------------------------------------------- options


def options_of_granian() -> dict[str, object]:
    """Every option of the installed granian -> its default."""
    return {
        option: each.default
        for each in granian.cli.cli.params
        if isinstance(each, click.Option) and each.name != "version"
        for option in (*each.opts, *each.secondary_opts)
    }


#: hypercorn's setting, where it has another name than the option.
_OF_HYPERCORN = {
    "access_log": "accesslog",
    "access_logfile": "accesslog",
    "access_logformat": "access_log_format",
    "binds": "bind",
    "error_log": "errorlog",
    "error_logfile": "errorlog",
    "insecure_binds": "insecure_bind",
    "keep_alive": "keep_alive_timeout",
    "log_level": "loglevel",
    "log_config": "logconfig",
    "pid": "pid_path",
    "quic_binds": "quic_bind",
    "reload": "use_reloader",
}


def options_of_hypercorn(patch: pytest.MonkeyPatch) -> dict[str, object]:
    """Every option of the installed hypercorn -> its default."""
    parsers: list[argparse.ArgumentParser] = []

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        parsers.append(parser)
        raise SystemExit

    patch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(SystemExit):
        hypercorn.__main__.main(["x:y"])
    default = Config()
    return {
        option: getattr(default, _OF_HYPERCORN.get(each.dest, each.dest), None)
        for each in parsers[0]._actions
        if each.dest != "help"
        for option in each.option_strings
    }


@pytest.mark.parametrize("name", ["granian", "hypercorn"])
def test_every_option_is_on_the_page(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S63: with both defaults, read from the programs; what it says to write here exists."""
    theirs = options_of_granian() if name == "granian" else options_of_hypercorn(monkeypatch)
    rows = options_on(FROM / f"{name}.md")
    assert {option for row in rows for option in row[0]} == {*theirs}
    defaults = {flag: each.shown_default for each in SETTINGS for flag in each.flags}
    ours = {option for each in main.commands["serve"].params for option in each.opts}  # type: ignore[attr-defined]
    ours |= {option for each in main.commands["serve"].params for option in each.secondary_opts}  # type: ignore[attr-defined]
    for options, default, here, default_here in rows:
        assert {default} == {written(theirs[option]) for option in options} or "%" in str(
            theirs[options[0]]
        ), options
        advised = re.findall(r"`(--?[a-z][\w-]*)", here)
        assert {*advised} <= ours, here
        assert default_here == (defaults.get(advised[0], "") if advised else ""), here


def test_every_argument_of_uvicorn_run_is_a_setting_or_on_its_page() -> None:
    """Those of other names have a row, and no others; what stands there of ours are settings."""
    text = (FROM / "uvicorn.md").read_text(encoding="utf-8")
    section = text.partition("| argument of uvicorn |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`\w+`.*?) \| (.*) \|$", section, re.M)
    names = [name for theirs, _ in rows for name in re.findall(r"`(\w+)`", theirs)]
    ours = {each.name for each in SETTINGS}
    theirs = set(inspect.signature(uvicorn.Config).parameters)
    assert sorted(names) == sorted(theirs - ours)
    said = {name for _, here in rows for name in re.findall(r"`(\w+)[`=]", here)}
    assert said - ours == {"Server", "NO_COLOR"}


def options_on(page: Path) -> list[tuple[list[str], str, str, str]]:
    """The rows of a page's table of options; defaults are without their backticks."""
    return [
        (re.findall(r"`(.*?)`", options), default.strip("`"), here, default_here.strip("`"))
        for options, default, here, default_here in table(page, "Options")
    ]


def written(default: Any) -> str:
    """A default as it stands on a page."""
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, list | tuple):
        return ", ".join(map(str, default))
    value = getattr(default, "value", default)  # of an enumeration
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None or type(value) is object else str(value)
