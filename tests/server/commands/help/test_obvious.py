"""Which apps a directory plainly holds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bridge.server.commands.help.obvious import find

MANAGE = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")\n'


@pytest.mark.parametrize(
    ("file", "text", "words", "kind"),
    [
        ("app.py", "app = Flask(__name__)", "app:app", "a Flask app"),
        ("wsgi.py", "application: object = flask.Flask(__name__)", "wsgi:application", "a Flask a"),
        ("main.py", "api = FastAPI()", "main:api", "a FastAPI app"),
        ("asgi.py", "application = get_asgi_application()", "asgi:application", "a Django projec"),
        ("wsgi.py", "def app(environ, start_response): ...", "wsgi:app", "a WSGI app"),
        ("main.py", "async def app(scope, receive, send): ...", "main:app", "an ASGI app"),
        ("shop/__init__.py", "def create_app(test=None): ...", "shop:create_app --factory", "a f"),
        ("shop.py", "app = Flask(__name__)", "shop:app", "a Flask app"),
        ("app.py", "app = create_app()", "app:app", "an app"),
    ],
)
def test_what_is_plain_is_found(
    tmp_path: Path, file: str, text: str, words: str, kind: str
) -> None:
    """O9: by its text: what makes it, or which arguments it takes."""
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(f"import nothing_like_it\n{text}\n")
    (found,) = find(tmp_path)
    assert (found.file, found.words) == (file, words)
    assert found.kind.startswith(kind)


@pytest.mark.parametrize("name", ["wsgi", "asgi"])
def test_a_django_project_is_found_by_its_manage_py(tmp_path: Path, name: str) -> None:
    """O9: manage.py names its package, in which wsgi.py or asgi.py is."""
    (tmp_path / "manage.py").write_text(MANAGE)
    assert find(tmp_path) == []
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / f"{name}.py").write_text("application = get_wsgi_application()\n")
    (found,) = find(tmp_path)
    assert (found.file, found.words) == ("manage.py", f"mysite.{name}:application")


@pytest.mark.parametrize(
    ("files", "found", "words"),
    [
        (["web/app.py"], "web/app.py", "app:app --app-dir web"),
        (["web/app.py", "web/__init__.py"], "web/app.py", "web.app:app"),
        (["web/app.py", "web/pyvenv.cfg"], "", ""),
        (["src/manage.py", "src/mysite/wsgi.py"], "src/manage.py", "mysite.wsgi:application"),
    ],
)
def test_what_is_a_directory_below(
    tmp_path: Path, files: list[str], found: str, words: str
) -> None:
    """O9: where nothing is in the directory itself, those in it are looked into."""
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        text = {"app.py": "app = Flask('')\n", "manage.py": MANAGE, "wsgi.py": "application"}
        (tmp_path / file).write_text(text.get(Path(file).name, ""))
    seen = [(each.file, each.words) for each in find(tmp_path)]
    below = f"{words} --app-dir src" if words.startswith("mysite") else words
    assert seen == ([(found, below)] if found else [])


def test_in_the_package_of_a_project(tmp_path: Path) -> None:
    """O9: its modules are named as they are imported, from the directory above."""
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / "__init__.py").write_text("")
    (tmp_path / "mysite" / "wsgi.py").write_text(f"{MANAGE}application = get_wsgi_application()\n")
    (seen,) = find(tmp_path / "mysite")
    assert seen.words == "mysite.wsgi:application --app-dir .."


@pytest.mark.parametrize(
    "text",
    [
        "",
        "def half(:",
        "app = 5",
        "app = " + "(" * 300,
        "def create_app(name): ...",
        "def create_app(*, name): ...",
        "async def create_app(): ...",
        "x = '\0'",
        "#" * 300_000 + "\napp = Flask(__name__)",
    ],
)
def test_what_is_not_plain_is_not_named(tmp_path: Path, text: str) -> None:
    """O9: what cannot be read, or needs arguments, is passed over without a word."""
    (tmp_path / "app.py").write_text(text)
    (tmp_path / "main.py").write_bytes(b"app = Flask('\xff')")
    (tmp_path / "server.py").mkdir()
    (tmp_path / "test_app.py").write_text("app = Flask(__name__)")
    assert find(tmp_path) == []


def test_apps_come_before_what_makes_them(tmp_path: Path) -> None:
    """O9: the likeliest is named first."""
    (tmp_path / "app.py").write_text("def create_app(): ...\nweb = create_app()\nx = '\\d'\n")
    assert [each.words for each in find(tmp_path)] == ["app:web", "app:create_app --factory"]


def test_nothing_is_imported(tmp_path: Path) -> None:
    """O9: what a module does when it is imported is not done."""
    (tmp_path / "app.py").write_text("raise SystemExit\napp = Flask(__name__)\n")
    before = [*sys.path]
    assert [each.words for each in find(tmp_path)] == ["app:app"]
    assert sys.path == before


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """O9: nothing is found, and nothing raised."""
    assert find(tmp_path / "gone") == []
