"""What apps are called."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bridge.detect import as_asgi
from bridge.dispatcher import Dispatcher
from bridge.server.apps.loading import load
from bridge.server.commands.routes.naming import Names
from bridge.server.config.config import Config
from tests.support.apps import hello


def test_names_at_the_command_line() -> None:
    """M50: what `--mount` names, without its kind."""
    config = Config(
        mount=(
            "/a=tests.support.apps.hello:wsgi",
            "/b=asgi3:tests.support.apps.hello:asgi",
        )
    )
    names = Names(config, as_asgi(load(config)))
    assert names.root == "the mounts"
    assert names.name_of(hello.wsgi) == "tests.support.apps.hello:wsgi"
    assert names.name_of(hello.asgi) == "tests.support.apps.hello:asgi"


def test_names_in_modules() -> None:
    """M50: an app is called by the module that has it; what has no name has none."""
    app = Dispatcher({"/": hello.wsgi})
    names = Names(Config(app="shop:app"), app)
    assert names.root == "shop:app"
    assert names.name_of(hello.wsgi) == "tests.support.apps.hello:wsgi"
    assert names.name_of(lambda: None) == ""


def test_apps_that_other_modules_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """M50: they are called by the module that has most likely made them."""

    def module(name: str, **names: Any) -> None:
        made = ModuleType(name)
        made.__file__ = f"/shop/{name}.py"
        vars(made).update(names)
        monkeypatch.setitem(sys.modules, name, made)

    def app(environ: Any, start_response: Any) -> None: ...

    def api(environ: Any, start_response: Any) -> None: ...

    module("site_main", old_app=app, api=api)
    module("site_old", app=app)
    module("site_old.views", app=app)
    module("site_api", api=api)
    names = Names(Config(app="site_main:app"), Dispatcher({"/": app}))
    assert names.name_of(app) == "site_old:app"
    assert names.name_of(api) == "site_api:api"


def test_an_app_without_a_name() -> None:
    """M50: it was given, not named."""

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    assert Names(Config(app=app), app).root == ""


def test_functions_know_their_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """M50: wherever it was imported before, and whatever it is called there."""
    other = ModuleType("a_site")
    other.__file__ = "/shop/a_site.py"
    other.app = hello.wsgi  # type: ignore[attr-defined]
    before = {"a_site": other, **sys.modules}
    monkeypatch.setattr(sys, "modules", before)
    names = Names(Config(app="a_site:app"), Dispatcher({"/": hello.wsgi}))
    assert names.name_of(hello.wsgi) == "tests.support.apps.hello:wsgi"


def test_names_in_a_cutover(tmp_path: Path) -> None:
    """M50: each side is called as the file of `--cutover` names it, without its kind."""
    file = tmp_path / "cutover.toml"
    apps = "tests.support.apps.hello"
    file.write_text(f'''
old = "wsgi:{apps}:wsgi"
new = "{apps}:asgi"
routes = [{{ name = "a", paths = "/a" }}]
''')
    config = Config(cutover=file)
    names = Names(config, load(config))
    assert names.root == str(file)
    assert names.name_of(hello.wsgi) == f"{apps}:wsgi"
    assert names.name_of(hello.asgi) == f"{apps}:asgi"
