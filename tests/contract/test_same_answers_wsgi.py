"""The same WSGI apps give the same answers on every host.

Flask and Django, each under `wsgiref.validate.validator`, on our server by each of its runners and
as Gunicorn's worker (there is no ASGI in between), through `WsgiToAsgi` under our server, uvicorn
and hypercorn, and on gunicorn. The same bodies byte for byte, the same status and the same fields;
only what belongs to the host is left out (`exchanges.OF_THE_HOST`), and the reason phrase where
ASGI, which has no place for it, is in between. gunicorn, which has no code of ours, is what the
others are compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartHost
from tests.contract.conftest import Talk
from tests.support import hosts
from tests.support.exchanges import EXCHANGES, Answer, Client, assert_same
from tests.support.hosts import Command

APPS = ["flask", "django"]

HOSTS: dict[str, Callable[[str], Command]] = {
    "bridge": lambda app: hosts.bridge(f"{app}:wsgi"),
    "bridge-greenlet": lambda app: hosts.bridge(f"{app}:wsgi", *hosts.RUNNERS["greenlet"]),
    "bridge-patched": lambda app: hosts.bridge(f"{app}:wsgi", *hosts.RUNNERS["patched"]),
    "bridge-inline": lambda app: hosts.bridge(f"{app}:wsgi", "--runner=inline"),
    "bridge-gunicorn": lambda app: hosts.gunicorn(f"{app}:wsgi", worker=hosts.BRIDGE_WORKER),
    "bridge-asgi": lambda app: hosts.bridge(f"{app}:opaque_asgi"),
    "uvicorn": lambda app: hosts.uvicorn(f"{app}:asgi"),
    "hypercorn": lambda app: hosts.hypercorn(f"{app}:asgi"),
}


#: Those that run the app without ASGI in between, so that its reason phrases arrive.
NATIVE = {"bridge", "bridge-greenlet", "bridge-patched", "bridge-inline", "bridge-gunicorn"}

#: What the reference itself gets wrong; the exchange's own checks then say what is right.
NO_REFERENCE = {
    ("django", "chunked_upload"): "gunicorn gives no CONTENT_LENGTH, so Django reads nothing"
}


def reference(app: str) -> Command:
    """The host that has no code of ours."""
    return hosts.gunicorn(f"{app}:wsgi")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file for the Django example."""
    path = tmp_path_factory.mktemp("django") / "db.sqlite3"
    hosts.migrate(path)
    return path


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("host", HOSTS)
def test_wsgi_apps_answer_the_same_on_every_host(
    host: str, app: str, exchange: str, talk: Talk, database: Path
) -> None:
    """W1 W8 W11 W24 W26 W35 W38: no host, and no adapter, changes what an app says."""
    module = f"tests.support.apps.{app}_validated"
    env = {"EXAMPLE_DATABASE": str(database)}
    answers = talk(HOSTS[host](module).with_env(**env), exchange)
    if (app, exchange) in NO_REFERENCE:
        return
    expected = talk(reference(module).with_env(**env), exchange)
    assert_same(answers, expected)
    if host in NATIVE:
        assert [a.reason for a in answers] == [e.reason for e in expected]


def static_file(client: Client) -> list[Answer]:
    """A file through ``wsgi.file_wrapper``, and that it has not changed."""
    whole = client.ask("GET", "/static/notes/style.css")
    (modified,) = [value for name, value in whole.fields if name == "last-modified"]
    since = [("If-Modified-Since", modified)]
    unchanged = client.ask("GET", "/static/notes/style.css", None, since)
    head = client.ask("HEAD", "/static/notes/style.css")
    assert whole.body == STYLE.read_bytes()
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert head.length == whole.length == len(whole.body)
    return [whole, unchanged, head]


STYLE = hosts.ROOT / "examples/django_on_bridge/notes/static/notes/style.css"


@pytest.mark.parametrize("host", HOSTS)
def test_static_files_are_the_same_on_every_host(
    host: str, talk: Talk, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W41: a file of Django's, its 304 and its HEAD."""
    monkeypatch.setitem(EXCHANGES, "static_file", static_file)
    app, env = "tests.support.apps.django_validated", {"EXAMPLE_DATABASE": str(database)}
    answers = talk(HOSTS[host](app).with_env(**env), "static_file")
    assert_same(answers, talk(reference(app).with_env(**env), "static_file"))


@pytest.mark.parametrize("host", HOSTS)
def test_django_works_with_its_database_on_every_host(
    host: str, shared_host: StartHost, database: Path
) -> None:
    """W50, G5: a form with its CSRF token, the ORM, and the admin's login, as in a browser."""
    command = HOSTS[host]("tests.support.apps.django_validated")
    running = shared_host(command.with_env(EXAMPLE_DATABASE=str(database)))
    with httpx.Client(base_url=running.url(""), follow_redirects=True, timeout=30) as browser:
        note = f"from {host} <&>"
        assert browser.get("/").status_code == 200
        form = {"text": note, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        assert "from" in browser.post("/add", data=form).text
        assert note in browser.get("/notes.json").json()["notes"]
        login = browser.get("/admin/")
        assert login.url.path == "/admin/login/"
        assert b"Log in" in login.content
