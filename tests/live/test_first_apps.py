"""`routes` and `check` on the apps of the tutorials of Flask, Django and FastAPI (M50, M51)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.hosts import ROOT

APPS = ROOT / "tests" / "data" / "first_apps"

#: As the tutorial has it, behind what `startproject` writes.
URLS = """from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("polls/", include("polls.urls")), path("admin/", admin.site.urls)]
"""


def run(folder: Path, *command: str) -> str:
    """What a command prints, in that folder; it ends with 0."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "FLASKR_DATABASE": str(folder / "flaskr.db")}
    ended = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def routes(folder: Path, target: str) -> Any:
    """The rows, as JSON; with `--strict` none may be unreachable."""
    return json.loads(run(folder, "-m", "bridge", "routes", target, "--json", "--strict"))


def shown(rows: Any) -> list[tuple[str, str, str]]:
    """Path, methods and view of each row; HEAD and OPTIONS come with GET."""
    added = ("HEAD", "OPTIONS")
    return [
        (
            row["path"],
            ",".join(each for each in row["methods"] or () if each not in added),
            row["view"],
        )
        for row in rows
    ]


def checked(folder: Path, target: str, *paths: str) -> tuple[Any, dict[str, str]]:
    """The report of the one app, and what was found in it, with its function."""
    options = [word for path in paths for word in ("--path", path)]
    command = ("-m", "bridge", "check", "--json", "--time-limit", "20", target, *options)
    report = json.loads(run(folder, *command))
    (app,) = report["apps"]
    found = [each for each in (*report["findings"], *app["findings"]) if each["severity"] != "ok"]
    return app, {
        each["id"]: "".join(place["function"] for place in each["places"]) for each in found
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the apps."""
    for file in APPS.glob("*.py"):
        shutil.copy(file, tmp_path)
    return tmp_path


def test_flaskr(folder: Path) -> None:
    """M50, M51: its second name for the first page is no route that is lost; SQLite waits in C."""
    rows = routes(folder, "flaskr:create_app()")
    assert shown(rows) == [
        ("/static/{filename:path}", "GET", "flask.app.Flask.send_static_file"),
        ("/hello", "GET", "flaskr.create_app.hello"),
        ("/auth/register", "GET,POST", "flaskr.register"),
        ("/auth/login", "GET,POST", "flaskr.login"),
        ("/auth/logout", "GET", "flaskr.logout"),
        ("/", "GET", "flaskr.index"),
        ("/create", "GET,POST", "flaskr.create"),
        ("/{id}/update", "GET,POST", "flaskr.update"),
        ("/{id}/delete", "POST", "flaskr.delete"),
    ]
    app, found = checked(folder, "flaskr:create_app()")
    assert found == {"c-driver": "get_db"}
    assert app["ways"]["thread"] == {"fails": [], "care": []}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that `startproject` has made, with the app of the tutorial."""
    run(tmp_path, "-m", "django", "startproject", "mysite", ".")
    shutil.copytree(APPS / "polls", tmp_path / "polls")
    (tmp_path / "mysite" / "urls.py").write_text(URLS)
    settings = tmp_path / "mysite" / "settings.py"
    text = settings.read_text().replace("APPS = [", 'APPS = [\n    "polls.apps.PollsConfig",')
    settings.write_text(text)
    run(tmp_path, "manage.py", "makemigrations", "-v0", "polls")
    run(tmp_path, "manage.py", "migrate", "-v0")
    return tmp_path


def test_polls(project: Path) -> None:
    """M50, M51: class-based views by their class, Django's own views, as WSGI and as ASGI."""
    rows = routes(project, "mysite.wsgi")
    assert shown(rows)[:5] == [
        ("/polls/", "GET", "polls.views.IndexView"),
        ("/polls/{pk}/", "GET", "polls.views.DetailView"),
        ("/polls/{pk}/results/", "GET", "polls.views.ResultsView"),
        ("/polls/{question_id}/vote/", "", "polls.views.vote"),
        ("/admin/", "", "django.contrib.admin.sites.AdminSite.index"),
    ]
    assert shown(routes(project, "mysite.asgi")) == shown(rows)
    app, found = checked(project, "mysite.wsgi", "/polls/", "/polls/7/")
    assert set(found) == {"c-driver"}
    assert app["ways"]["thread"] == {"fails": [], "care": []}
    _, found = checked(project, "mysite.asgi", "/polls/")
    assert set(found) - {"sync-middleware"} == {"no-lifespan", "websocket-raises"}


def test_bigger_applications(folder: Path) -> None:
    """M50, M51: routers with prefixes and dependencies; nothing is wrong with them."""
    rows = routes(folder, "bigger:app")
    assert [row for row in shown(rows) if not row[2].startswith("fastapi.")] == [
        ("/users/", "GET", "bigger.read_users"),
        ("/users/me", "GET", "bigger.read_user_me"),
        ("/users/{username}", "GET", "bigger.read_user"),
        ("/items/", "GET", "bigger.read_items"),
        ("/items/{item_id}", "PUT", "bigger.update_item"),
        ("/admin/", "POST", "bigger.update_admin"),
        ("/", "GET", "bigger.root"),
    ]
    assert all(row["async"] for row in rows)
    _, found = checked(folder, "bigger:app", "/", "/users/me")
    assert found == {}
