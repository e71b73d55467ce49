"""`asgi-bridge routes` as a user runs it; and what it reads of awkward apps."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import AppLoadError
from bridge.server.commands.routes.command import read_site, routes
from bridge.server.commands.routes.options import Asked
from bridge.server.config.config import Config
from tests.support import hosts

AWKWARD = "tests.data.routes.awkward"


def run(*arguments: str, cwd: Path = hosts.ROOT) -> subprocess.CompletedProcess[str]:
    """`asgi-bridge routes` with these arguments, until it ends."""
    command = [sys.executable, "-m", "bridge", "routes", *arguments]
    environ = {**os.environ, "PYTHONPATH": str(hosts.ROOT)}
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=60)


def shown(app: str) -> list[tuple[str, str, str]]:
    """Path, view and note of each row that is shown of `app`, one of the awkward ones."""
    text, _ = routes(Config(app=f"{AWKWARD}:{app}"), Asked(True, False, None, "GET", ""), None)
    return [
        (
            f"{','.join(row['methods'] or ['*'])} {row['path']}",
            (row["view"] or "").removeprefix(f"{AWKWARD}."),
            row["never_reached"] or "; ".join(row["notes"]),
        )
        for row in json.loads(text)
    ]


# ------------------------------------------------------------- the command


def test_a_cutover(tmp_path: Path) -> None:
    """M50: `--cutover` shows what is switched to the new app, and the rest; both must load."""
    file = tmp_path / "cutover.toml"
    routes = '[[routes]]\nname = "clock"\npaths = "/clock"\nmode = "new"\n'
    file.write_text(f'old = "mixed:legacy"\nnew = "mixed:modern"\n{routes}')
    ended = run("--app-dir", "examples", "--cutover", str(file))
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert [line[:3] for line in lines[1:3]] == [
        ["/clock", "GET", "mixed:modern"],
        ["/*", "*", "mixed:legacy"],
    ]
    file.write_text(f'old = "mixed:legacy"\nnew = "nowhere:app"\n{routes}')
    ended = run("--app-dir", "examples", "--cutover", str(file))
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "the new app cannot be loaded" in ended.stderr


def test_the_example() -> None:
    """M50: a table of all mounts, with 0, and nothing else on standard output."""
    ended = run("--app-dir", "examples", "mixed:app")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert lines[0] == ["PATH", "METHODS", "APP", "RUNS", "VIEW", "FILE", "NOTE"]
    assert lines[2][:5] == ["/api/clock", "GET", "mixed:modern", "async", "mixed.clock"]
    assert lines[2][5].startswith("examples/mixed.py:")
    assert lines[4][1] == "WEBSOCKET"
    assert lines[5][:5] == ["/*", "*", "mixed:legacy", "sync", "mixed.legacy"]
    assert ended.stdout.splitlines()[5].endswith("its routes cannot be read")
    assert ended.stdout.endswith("\n\n4 routes in 2 apps\n")


def test_mounts_of_the_command_line(tmp_path: Path) -> None:
    """M50: the apps are called as they were named there; --strict ends with 1."""
    (tmp_path / "old.py").write_text(
        "from flask import Flask\napp = Flask('old', static_folder=None)\n"
        "@app.get('/api/users')\ndef users(): return 'x'\n"
    )
    (tmp_path / "new.py").write_text(
        "import contextlib\nfrom fastapi import FastAPI\nprint('imported')\n"
        "@contextlib.asynccontextmanager\nasync def lifespan(app):\n    print('started')\n"
        "    yield\n"
        "def make(): return FastAPI(openapi_url=None, lifespan=lifespan)\napp = make()\n"
    )
    mounts = ("--mount", "/=wsgi:old:app", "--mount", "/api=new:app")
    ended = run(*mounts, "--strict", cwd=tmp_path)
    assert ended.returncode == 1
    assert "GET /api/users of old:app is never reached: /api is mounted on new:app" in ended.stdout
    assert "it has no routes" in ended.stdout
    assert ended.stdout.endswith("\n1 route in 2 apps; 1 is never reached\n")
    assert ended.stderr == "imported\n"
    made = run("--factory", "new:make", "--strict", "--json", cwd=tmp_path)
    assert (made.returncode, json.loads(made.stdout)[0]["app"]) == (0, "new:make")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["no.such:app"], 3, "Error: there is no module 'no'"),
        ([], 2, "no app is named"),
        (["examples.mixed:app", "--method", "GET"], 2, "--path /x as well"),
        (["examples.mixed:app", "--port", "1"], 2, "No such option"),
    ],
)
def test_what_is_wrong_is_told_as_at_a_start(arguments: list[str], code: int, said: str) -> None:
    """M50: with the exit code of serve."""
    ended = run(*arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_narrow_terminal() -> None:
    """M50: no line is wider than it."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "bridge", "routes", "--app-dir", "examples", "mixed:app"]
    environ = {**os.environ, "PYTHONPATH": str(hosts.ROOT), "COLUMNS": "60"}
    with subprocess.Popen(command, cwd=hosts.ROOT, env=environ, stdout=its, stdin=its) as running:
        os.close(its)
        shown = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while piece := os.read(ours, 65536):
                shown += piece
        assert running.wait(60) == 0
    os.close(ours)
    lines = shown.decode().splitlines()
    assert max(map(len, lines)) <= 60
    assert "  ! its routes cannot be read" in lines


def test_an_app_that_fails() -> None:
    """M50: it cannot be loaded."""
    with pytest.raises(AppLoadError):
        read_site(Config(app="tests.data.routes.awkward:none"))


# ------------------------------------------------------------- who would answer


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            ("/api/users/7?x=1", "GET", ""),
            [
                f"GET /api/users/7?x=1 is answered by {AWKWARD}:new, mounted at /api",
                "  route  /api/users/{id}",
                f"  view   {AWKWARD}.user  async  ",
            ],
        ),
        (
            ("/us%65rs", "DELETE", "a.org"),
            [
                f"DELETE a.org/us%65rs is answered by {AWKWARD}:bare, mounted at /",
                f"  view   {AWKWARD}.bare  async  ",
                f"  note   its routes cannot be read; if {AWKWARD}.is_beta says so",
                f"and then {AWKWARD}:catch_all, mounted at /",
                "  note   405: the methods here are GET, HEAD, OPTIONS, POST",
            ],
        ),
        (
            ("/api/x", "WEBSOCKET", ""),
            [
                f"WEBSOCKET /api/x is answered by {AWKWARD}:new, mounted at /api",
                "  note   no route: the WebSocket is refused",
            ],
        ),
    ],
)
def test_who_would_answer(asked: tuple[str, str, str], said: list[str]) -> None:
    """M50: with the route, the view and the reason; no app and no predicate is called."""
    config = Config(app=f"{AWKWARD}:site")
    text, code = routes(config, Asked(False, True, *asked), None)
    assert code == 0
    for line, expected in zip(text.splitlines(), said, strict=True):
        assert line.startswith(expected)
    found = json.loads(routes(config, Asked(True, True, *asked), None)[0])
    assert [each["surely"] for each in found] == [False] * (len(found) - 1) + [True]


# ------------------------------------------------------------- awkward apps


def test_views_of_all_kinds_in_one_app() -> None:
    """M50: a catch-all of Flask's hides nothing; a view need not be a function of Python's."""
    assert shown("catch_all") == [
        ("GET,HEAD,OPTIONS /users", "users", ""),
        ("POST,OPTIONS /users", "new_user", ""),
        ("GET,HEAD,OPTIONS /api/users", "old_users", ""),
        ("GET,HEAD,OPTIONS /length", "len", ""),
        ("GET,HEAD,OPTIONS /first", "operator.itemgetter", ""),
        ("GET,HEAD,OPTIONS /page", "Page", ""),
        ("GET,HEAD,OPTIONS /{path:path}", "anything", ""),
    ]


def test_routes_that_come_later() -> None:
    """M50: what an app adds at its first request is not there yet, since none is made."""
    assert shown("late") == [("* /*", "", "it has no routes")]


def test_a_dispatcher_of_werkzeug() -> None:
    """M50: what it mounts hides routes of the app around which it is."""
    assert shown("mounted") == [
        ("* /late/*", "", "it has no routes"),
        (
            "GET,HEAD,OPTIONS /late/x",
            "hidden",
            f"GET /late/x of {AWKWARD}:mounted is never reached: /late is mounted on "
            f"{AWKWARD}:late",
        ),
    ]


def test_all_of_them_together() -> None:
    """M50: two apps at one prefix, the first under a condition; a bare function; a shadow."""
    found: dict[str, Any] = {path: (view, note) for path, view, note in shown("site")}
    condition = f"its routes cannot be read; only if {AWKWARD}.is_beta says so"
    assert found["* /*"] == ("bare", condition)
    assert found["* /bare/*"] == ("bare", "its routes cannot be read")
    assert found["GET,HEAD,OPTIONS /users"] == ("users", "")
    new = f"{AWKWARD}:new"
    assert found["GET /api/users/me"][1] == (
        f"GET /api/users/me of {new} is never reached: GET /api/users/{{id}} "
        f"({AWKWARD}.user) comes before it"
    )
    assert found["GET,HEAD,OPTIONS /api/users"][1] == (
        f"GET /api/users of {AWKWARD}:catch_all is never reached: /api is mounted on {new}"
    )
    assert found["* /mounted/late/*"] == ("", "it has no routes")
    assert routes(Config(app=f"{AWKWARD}:site"), Asked(False, True, None, "GET", ""), 80)[1] == 1
