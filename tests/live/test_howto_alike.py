"""The how-to "Prove that old and new answer alike": its apps and commands run as they are shown."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from bridge.cutover.settings_file import parse_plan
from bridge.cutover.shadow.copying.settings import read_shadow
from bridge.cutover.shadow.rules import parse_rules
from tests.conftest import StartHost
from tests.support.hosts import ROOT, Command, Host
from tests.support.in_process import http

PAGE = (ROOT / "docs" / "howto" / "prove-old-and-new-alike.md").read_text()
FILES = dict(re.findall(r"```python\n# ([\w.]+\.py)\n(.*?)```", PAGE, re.S))
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE, re.S)


def examples() -> list[tuple[str, str]]:
    """The commands of the page, in order, and what each prints."""
    found: list[tuple[str, str]] = []
    for block in BLOCKS:
        for command, output in re.findall(r"\$ ([^\n]*)\n((?:(?!\$ )[^\n]*\n)*)", block):
            found.append((command, output))
    return found


def argv(command: str) -> list[str]:
    """What is run for a command of the page."""
    return [sys.executable, "-m", "bridge", *shlex.split(command)[1:]]


def test_the_live_copies_of_the_page(tmp_path: Path) -> None:
    """M10: the table and the routes of the page are taken as they are printed."""
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    plan = parse_plan(toml)
    shadow = read_shadow(plan.options["shadow"])
    assert shadow.report == "shadow.jsonl"
    (route,) = plan.routes
    assert route.shadow is not None
    assert (route.mode, route.shadow.sample, route.shadow.noise) == ("shadow", 10, 5)
    assert route.shadow.ignore == ("numbers", "null=missing", "header:location")


def test_the_page_works_as_it_is_printed(start_host: StartHost, tmp_path: Path) -> None:
    """M13: the how-to's apps are recorded, replayed and reported, with what it shows."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    environ = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

    def started(name: str, *command: str) -> Host:
        return start_host(Command(name, command, env=environ, cwd=tmp_path))

    (record, _), *rest = examples()
    recorder = started("record", *argv(record.replace("8000", "{port}")))
    serve = [sys.executable, "-m", "bridge", "serve", "--port={port}"]
    old, new = started("old", *serve, "old:app"), started("new", *serve, "new:app")
    for command, output in rest:
        if command.startswith("curl"):
            path = command.rpartition(":8000")[2]
            httpx.get(recorder.url(path), headers={"Host": "127.0.0.1:8000"})
            continue
        if recorder.process.poll() is None:
            recorder.stop()
        # Apps that are named by their modules are tested with the command; here they serve all.
        command = command.replace("old:app", old.url("")).replace("new:app", new.url(""))
        done = subprocess.run(
            argv(command),
            cwd=tmp_path,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        shown, more, _ = output.partition("...\n")
        if shown:
            assert done.stdout == shown or (more and done.stdout.startswith(shown))


def test_the_rules_of_the_page_are_rules() -> None:
    """M11: each rule that the how-to names can be read."""
    table = PAGE.partition("| rule |")[2].partition("\n\n")[0]
    rules = [
        rule.replace("RULE", "body")
        for row in table.splitlines()[2:]
        for rule in re.findall(r"`([^`]*)`", row.split(" | ")[0])
    ]
    assert len(rules) == 11
    parse_rules(rules)


def test_a_view_may_do_less_for_a_copy() -> None:
    """M10: the example of the page knows a copy from a client's request."""
    module: dict[str, Any] = {}
    exec(FILES["inbox.py"], module)
    assert http(module["app"], "/inbox/1", extensions={"bridge.shadow": {}}).body == b'{"id":1}'
    assert http(module["app"], "/inbox/2").body == b'{"id":2}'
    assert module["read"] == [2]
