"""From a name to an app, and what is said where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.dispatcher import Dispatcher
from bridge.errors import AppLoadError, ConfigError
from bridge.server.config import Config
from bridge.server.loading import load, load_app


@pytest.fixture(autouse=True)
def _imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The import path and the modules as they were, after each test."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("example_"):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path):
    """``write(name, source)``: a module in an app directory."""

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)

    return write


APP = "def app(environ, start_response): ...\n"


def failure(target: object, app_dir: Path, factory: bool = False) -> AppLoadError:
    with pytest.raises(AppLoadError) as caught:
        load_app(target, str(app_dir), factory)
    return caught.value


def test_an_app_by_name(write, tmp_path: Path) -> None:
    """`module:attr`, with dots in either."""
    write("example_one", APP + "class site: main = app\n")
    assert load_app("example_one:app", str(tmp_path)).__name__ == "app"
    assert load_app("example_one:site.main", str(tmp_path)).__name__ == "app"


@pytest.mark.parametrize("name", ["app", "application"])
def test_the_module_alone(write, tmp_path: Path, name: str) -> None:
    """The two names that everybody uses need not be said."""
    write("example_two", f"def {name}(environ, start_response): ...\n")
    assert load_app("example_two", str(tmp_path)).__name__ == name


def test_an_object_is_the_app(tmp_path: Path) -> None:
    """From Python the app itself is passed."""

    async def app(scope, receive, send): ...

    assert load_app(app) is app


def test_a_factory_is_called(write, tmp_path: Path) -> None:
    """With `factory`, what the function returns is the app; without, the function is."""
    write("example_factory", APP + "def make(): return app\n")
    assert load_app("example_factory:make", str(tmp_path), True).__name__ == "app"
    assert load_app("example_factory:make", str(tmp_path)).__name__ == "make"
    assert load_app(lambda: print, factory=True) is print


def test_the_app_directory_comes_first(write, tmp_path: Path) -> None:
    """One's own module is found before an installed one of that name."""
    write("example_three", APP)
    load_app("example_three:app", str(tmp_path))
    assert sys.path[0] == str(tmp_path)


# ------------------------------------------------------------- what can go wrong


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("", "names no app; say module:attr"),
        (":app", "names no app; say module:attr"),
        ("main:", "names no app; say module:attr"),
        ("main.py:app", "is a file; name the module instead, such as main:app"),
        ("src/main:app", "is a file; name the module instead, such as main:app"),
        ("main:make()", "is a call; name the function and add --factory"),
        ("example_none:app", "there is no module 'example_none'"),
        ("example_none.deep:app", "there is no module 'example_none'"),
        ("example_bad:nothing", "example_bad has no attribute 'nothing'"),
        ("example_bad:text.nothing", "example_bad has no attribute 'text.nothing'"),
        ("example_bad:text", "is 'no app', which cannot be called"),
        ("example_bad", "has neither app nor application"),
        ("sys:nothing", "sys has no attribute 'nothing'"),
    ],
)
def test_a_wrong_name_says_what_to_do(write, tmp_path: Path, target: str, said: str) -> None:
    """Each mistake has an answer of its own, and no traceback of ours."""
    write("example_bad", "text = 'no app'\n")
    error = failure(target, tmp_path)
    assert said in str(error)
    assert error.__cause__ is None


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import example_missing", "No module named 'example_missing'"),
        ("from sys import nothing", "ImportError"),
        ("1/0", "ZeroDivisionError: division by zero"),
        ("def (", "SyntaxError"),
        ("raise SystemExit('settings are missing')", "SystemExit: settings are missing"),
    ],
)
def test_an_error_in_the_apps_module_is_kept(write, tmp_path: Path, source: str, said: str) -> None:
    """The app's own error is the cause, so that its traceback can be shown."""
    write("example_broken", source)
    error = failure("example_broken:app", tmp_path)
    assert str(error).startswith("importing example_broken failed")
    assert said in str(error)
    assert error.__cause__ is not None


@pytest.mark.parametrize(
    "source", ["raise KeyboardInterrupt", "def app(): raise KeyboardInterrupt"]
)
def test_interrupting_is_no_error_of_the_app(write, tmp_path: Path, source: str) -> None:
    """Ctrl+C while a slow app is imported or made stops it."""
    write("example_slow", source)
    with pytest.raises(KeyboardInterrupt):
        load_app("example_slow:app", str(tmp_path), True)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("make = 5", "make is 5; a factory is a function"),
        ("def make(needed): ...", "TypeError"),
        ("def make(): raise ValueError('no database')", "ValueError: no database"),
        ("def make(): return None", "is None, which cannot be called"),
    ],
)
def test_a_factory_that_fails(write, tmp_path: Path, source: str, said: str) -> None:
    """What goes wrong in a factory is told like what goes wrong in a module."""
    write("example_fails", source)
    assert said in str(failure("example_fails:make", tmp_path, True))


# ------------------------------------------------------------- from a whole config


def test_mounts_make_a_dispatcher(write, tmp_path: Path) -> None:
    """D2: each target is loaded, and may say its kind."""
    write("example_mounts", APP + "async def new(scope, receive, send): ...\n")
    mount = ["/=wsgi:example_mounts:app", "/new=example_mounts:new", "x.test/=example_mounts:app"]
    app = load(Config(mount=mount, app_dir=str(tmp_path)))
    assert isinstance(app, Dispatcher)
    assert [(route.host, route.prefix, route.kind) for route in app.routes] == [
        ("", "", "wsgi"),
        ("", "/new", "asgi3"),
        ("x.test", "", "wsgi"),
    ]


def test_a_place_is_taken_once(write, tmp_path: Path) -> None:
    """D1: two apps at one prefix are a mistake, not a surprise."""
    write("example_twice", APP)
    mount = ["/=example_twice:app", "/=example_twice:app"]
    with pytest.raises(ConfigError, match="mounted twice"):
        load(Config(mount=mount, app_dir=str(tmp_path)))


def test_no_app_at_all() -> None:
    """The error says both ways to name one."""
    with pytest.raises(ConfigError, match=r"say module:attr, or --mount"):
        load(Config())


def test_one_app(write, tmp_path: Path) -> None:
    """What the command line says most."""
    write("example_last", APP)
    assert load(Config(app="example_last", app_dir=str(tmp_path))).__name__ == "app"
