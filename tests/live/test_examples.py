"""The examples run with the commands that they name."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.hosts import ROOT, Command, Host

EXAMPLES = ROOT / "examples"
DJANGO = EXAMPLES / "django_on_bridge"

_PORT = {
    "asgi-bridge": "--port={port}",
    "gunicorn": "--bind=127.0.0.1:{port}",
    "uvicorn": "--port={port}",
}


def command(line: str, cwd: Path = ROOT) -> Command:
    """A command as an example prints it, with a port of its own."""
    program, *arguments = shlex.split(line.partition("  ")[0].partition("#")[0])
    argv = (str(Path(sys.executable).with_name(program)), *arguments, _PORT[program])
    return Command(line, argv, {"PYTHONPATH": ""}, cwd)  # as in a user's shell


def commands() -> list[str]:
    """Every command that the docstrings of the single-file examples name."""
    heads = [path.read_text().split('"""')[1] for path in sorted(EXAMPLES.glob("*.py"))]
    lines = [line.strip() for head in heads for line in re.findall(r"^    (\S.*)$", head, re.M)]
    return [line for line in lines if line.split()[0] in _PORT]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_names_its_command(path: Path) -> None:
    """A newcomer can run each from its first lines."""
    assert any(name in path.read_text().split('"""')[1] for name in _PORT)


@pytest.mark.parametrize("line", commands())
def test_a_command_serves_its_example(line: str, start_host: StartHost) -> None:
    """What the docstring says works as it stands."""
    response = httpx.get(start_host(command(line)).url("/"))
    assert response.status_code == 200
    assert response.text.startswith(("<!doctype html>", "Hello"))


# ------------------------------------------------------------- mixed.py


@pytest.fixture(scope="module", params=hosts.RUNNERS)
def mixed(request: pytest.FixtureRequest) -> Iterator[Host]:
    """The mixed example, on our server."""
    options = hosts.RUNNERS[request.param]
    with hosts.start(hosts.bridge("--app-dir=examples", "mixed:app", *options)) as host:
        yield host


def test_the_shared_page_links_both_apps(mixed: Host) -> None:
    """D1: one page, shown by both, whose links lead into both."""
    with httpx.Client(base_url=mixed.url(""), follow_redirects=True) as client:
        for page in ("/", "/api"):
            links = re.findall(r'href="([^"]+)"', client.get(page).text)
            assert {"/", "/api"} <= set(links)
        for link in set(links) - {"/api/events"}:
            assert client.get(link).status_code == 200


def test_the_old_app_works_as_it_did(mixed: Host) -> None:
    """D2, W24: form, redirect, cookie and upload reach the WebOb app."""
    with httpx.Client(base_url=mixed.url(""), follow_redirects=True) as client:
        assert "This is visit 1." in client.get("/").text
        signed = client.post("/sign", data={"entry": "<b>me</b>"})
        assert "&lt;b&gt;me&lt;/b&gt;" in signed.text
        assert "This is visit 2." in signed.text
        data = os.urandom(300_000)
        uploaded = client.post("/upload", files={"file": ("some.bin", data)})
        assert hashlib.sha256(data).hexdigest() in uploaded.text
        assert client.get("/download").text.endswith("line 9999\n")
        assert client.get("/none").status_code == 404


def test_the_new_app_has_its_lifespan_and_its_stream(mixed: Host) -> None:
    """D3: the child's startup ran, and events come one by one."""
    assert httpx.get(mixed.url("/api/clock")).json()["up_seconds"] >= 0
    with httpx.stream("GET", mixed.url("/api/events")) as response:
        assert next(response.iter_lines()).startswith("data: ")


# ------------------------------------------------------------- django_on_bridge


#: The project as ASGI, and as WSGI on each of our runners.
DJANGO_WAYS = {
    "asgi": "mysite.asgi",
    **{name: " ".join(("mysite.wsgi", *options)) for name, options in hosts.RUNNERS.items()},
}


@pytest.fixture(scope="module", params=DJANGO_WAYS)
def django(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """The Django project on our server, with a database of its own."""
    database = str(tmp_path_factory.mktemp("django") / "db.sqlite3")
    environ = {"EXAMPLE_DATABASE": database, "DJANGO_SUPERUSER_PASSWORD": "secret"}
    for step in ("migrate", "createsuperuser --noinput --username=admin --email=a@example.com"):
        subprocess.run(
            [sys.executable, "manage.py", *step.split(), "--verbosity=0"],
            cwd=DJANGO,
            env={**os.environ, **environ},
            check=True,
        )
    line = f"asgi-bridge serve {DJANGO_WAYS[request.param]}"
    serve = command(line, cwd=DJANGO).with_env(**environ)
    with hosts.start(serve) as host, httpx.Client(base_url=host.url("")) as client:
        yield client


def token(client: httpx.Client, page: str) -> dict[str, str]:
    match = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(page).text)
    assert match
    return {"csrfmiddlewaretoken": match[1]}


def test_django_orm_and_form(django: httpx.Client) -> None:
    """W24: a form with its CSRF token writes through the ORM, and the page shows it."""
    sent = django.post("/add", data={"text": "from a test", **token(django, "/")})
    assert (sent.status_code, sent.headers["location"]) == (302, "/")
    assert "<li>from a test</li>" in django.get("/").text
    assert "from a test" in django.get("/notes.json").json()["notes"]
    assert django.post("/add", data={"text": "no token"}).status_code == 403
    assert django.get("/error").status_code == 500


def test_django_admin_and_static_files(django: httpx.Client) -> None:
    """W41: log in to the admin, and get its style sheet whole."""
    page = "/admin/login/?next=/admin/"
    login = {"username": "admin", "password": "secret", **token(django, page)}
    assert django.post(page, data=login).status_code == 302
    assert "Site administration" in django.get("/admin/").text
    sheet = django.get("/static/admin/css/base.css")
    assert sheet.headers["content-type"].startswith("text/css")
    assert len(sheet.content) == int(sheet.headers["content-length"])


def test_django_streams_and_uploads(django: httpx.Client) -> None:
    """W39, W24: a streaming view, and an upload of 5 MB that goes through a temporary file."""
    assert len(django.get("/download?size=1000000").content) == 1_000_000
    data = os.urandom(5_000_000)
    found = django.post("/upload", files={"file": ("big.bin", data)}, data={"note": "big"}).json()
    assert found["files"]["file"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert found["fields"] == {"note": "big"}


# ------------------------------------------------------------- flask_await.py


AWAITING = [line for line in commands() if "flask_await" in line]
AWAITING += [f"{line} --patch" for line in AWAITING if "greenlet" in line]


@pytest.mark.parametrize("line", AWAITING)
def test_flask_views_wait_for_async_code(line: str, start_host: StartHost) -> None:
    """W51, G1: a Flask view asks an async HTTP client and an async database, on every runner."""
    host = start_host(command(line))
    for asked in (3, 6):
        answer = httpx.get(host.url("/weather?city=Oslo&city=Rome&city=Ulaanbaatar")).json()
        assert answer == {"asked": asked, "degrees": {"Oslo": 4, "Rome": 4, "Ulaanbaatar": 11}}
