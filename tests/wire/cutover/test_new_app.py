"""A new app, and a hook, that are not there or cannot be used, over the wire."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from bridge.server.cli import main
from tests.support import hosts
from tests.support.hosts import start
from tests.support.waiting import eventually

FILE = """old = "legacy:app"
new = "%s"
[[routes]]
name = "invoices"
paths = "/invoices"
mode = "new"
gate = { window = "60s" }
on_rollback = "hooks_of_the_site:wake"
"""

LEGACY = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"old"]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory of apps, which is not the one that a server starts in."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "legacy.py").write_text(LEGACY)
    (site / "hooks_of_the_site.py").write_text("def wake(event): ...")
    return site


def test_without_lifespan_the_old_app_answers_for_one_that_is_not_there(site: Path) -> None:
    """M1, M21: the log says so; and a hook is looked up where the apps are."""
    file = site.parent / "cutover.toml"
    file.write_text(FILE % "gone:app")
    command = hosts.bridge(f"--cutover={file}", f"--app-dir={site}", "--lifespan=off")
    with start(command) as host:
        answer = httpx.get(host.url("/invoices"), trust_env=False)
        assert (answer.status_code, answer.headers["x-served-by"]) == (200, "old")
        eventually(lambda: "the new app did not start, so the old app answers" in host.log())
        assert "there is no module 'gone'" in host.log()


def test_orders_say_that_the_new_app_did_not_start(site: Path) -> None:
    """M3, O3: a reload and a switch are done, and stderr says that nothing came of them."""
    file, socket = site.parent / "cutover.toml", f"--socket={site.parent / 'a.ctl'}"
    file.write_text(FILE % "gone:app")
    options = (f"--control-socket={socket.partition('=')[2]}", f"--app-dir={site}")
    line = "Warning: the new app did not start in 1 of 1 worker, where the old one answers all"
    with start(hosts.bridge(f"--cutover={file}", *options)) as host:
        eventually(lambda: "serves (1 of 1)" in host.log())
        for order in (["cutover", "set", "invoices", "new"], ["ctl", "reload"]):
            ended = CliRunner().invoke(main, [*order, socket])
            assert (ended.exit_code, line in ended.stderr) == (0, True), ended.output
            assert line not in ended.stdout
        ended = CliRunner().invoke(main, ["cutover", "set", "invoices", "old", socket])
        assert line not in ended.stderr


HANGS = """
import asyncio

async def app(scope, receive, send):
    await asyncio.Event().wait()
"""


def test_one_that_hangs_at_its_start_does_not_end_the_start(site: Path) -> None:
    """M1: it gets a part of timeout_startup, and the server goes on without it."""
    (site / "fresh.py").write_text(HANGS)
    file = site.parent / "cutover.toml"
    file.write_text(FILE % "fresh:app")
    command = hosts.bridge(f"--cutover={file}", f"--app-dir={site}", "--timeout-startup=4")
    with start(command) as host:
        answer = httpx.get(host.url("/invoices"), trust_env=False)
        assert (answer.status_code, answer.headers["x-served-by"]) == (200, "old")
        eventually(lambda: "the app did not answer lifespan.startup within" in host.log())
