"""`asgi-bridge check` says nothing wrong about the examples, which are in order (M51)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.hosts import ROOT

EXAMPLES = str(ROOT / "examples")
FORMS = ("--unsafe", "/upload", "--unsafe", "/form", "--unsafe", "/json")
DJANGO = str(ROOT / "examples" / "django_on_bridge")


def checked(*arguments: str, **environ: str) -> Any:
    """The report, as JSON."""
    ended = subprocess.run(
        [sys.executable, "-m", "bridge", "check", "--json", "--time-limit", "20", *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


def ids(report: Any) -> set[str]:
    return {
        finding["id"]
        for part in (*report["apps"], report)
        for finding in part["findings"]
        if finding["severity"] != "ok"
    }


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--app-dir", EXAMPLES, "flask_on_bridge:app", *FORMS), set()),
        (("--app-dir", EXAMPLES, "mixed:app", "--path", "/clock"), set()),
        (("tests.support.apps.fastapi_smoke:app",), set()),
    ],
)
def test_examples(arguments: tuple[str, ...], found: set[str]) -> None:
    """M51: Flask, WebOb with Starlette, FastAPI."""
    assert ids(checked(*arguments)) == found


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the Django example, with a database that has its tables."""
    environ = {"EXAMPLE_DATABASE": str(tmp_path_factory.mktemp("django") / "db.sqlite3")}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v0"],
        cwd=Path(DJANGO),
        env={**os.environ, **environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=90,
    )
    return environ


def test_django_as_wsgi(database: dict[str, str]) -> None:
    """M51: its database is a file, which no greenlet can wait for."""
    report = checked("--app-dir", DJANGO, "mysite.wsgi", **database)
    assert ids(report) == {"c-driver"}
    assert report["apps"][0]["ways"]["thread"] == {"fails": [], "care": []}


def test_django_as_asgi(database: dict[str, str]) -> None:
    """M51: Django knows neither lifespan nor WebSockets, and that is said without alarm."""
    report = checked("--app-dir", DJANGO, "mysite.asgi", **database)
    assert ids(report) - {"sync-middleware"} == {"no-lifespan", "websocket-raises"}
