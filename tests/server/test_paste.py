"""The server as PasteDeploy and Pyramid's pserve start it, from an INI file."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartHost
from tests.support.hosts import ADDRESS, ROOT, Command

APP = """
from pyramid.config import Configurator
from pyramid.response import Response


def view(request):
    environ = request.environ
    return Response(f"{environ['SERVER_SOFTWARE']} multithread={environ['wsgi.multithread']}")


def main(global_config, **settings):
    with Configurator(settings=settings) as config:
        config.add_route("home", "/")
        config.add_view(view, route_name="home")
        return config.make_wsgi_app()
"""


PSERVE = "import sys; from pyramid.scripts.pserve import main; sys.exit(main())"


def pserve(folder: Path, *lines: str) -> Command:
    """pserve with an INI file that names our server; `lines` are more of its settings."""
    # What installing the tree would write: the entry points of its own pyproject.toml.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = folder / "asgi_bridge-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: asgi-bridge\nVersion: 0\n")
    group = "paste.server_runner"
    named = [f"{name} = {target}\n" for name, target in project["entry-points"][group].items()]
    (info / "entry_points.txt").write_text(f"[{group}]\n{''.join(named)}")
    (folder / "paste_app.py").write_text(APP)
    ini = folder / "app.ini"
    ini.write_text(
        "[app:main]\nuse = call:paste_app:main\n[server:main]\nuse = egg:asgi-bridge\n"
        + "\n".join(lines)
    )
    return Command(
        "bridge",
        (sys.executable, "-c", PSERVE, str(ini), "at={port}"),
        {"PYTHONPATH": f"{folder}:{ROOT}"},
        folder,
    )


def test_pserve(start_host: StartHost, tmp_path: Path) -> None:
    """S66: `use = egg:asgi-bridge` serves an INI file's app, with the settings that it says."""
    lines = (f"host = {ADDRESS}", "port = %(at)s", "threads = 1", "log-level = warning")
    host = start_host(pserve(tmp_path, *lines))
    assert httpx.get(host.url("/")).text == "asgi-bridge multithread=False"
    assert host.stop() == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("threads = 0", "threads in [server:main] is '0'; allowed is a whole number, at least 1"),
        ("thread = 3", "thread is no setting; did you mean threads?"),
        ("ssl_keyfile = key.pem", "needs a certificate"),
        ("host = nowhere.invalid", "the host 'nowhere.invalid' is unknown here"),
        ("listen = localhost:6543", "--listen is an option of waitress; here: say bind = HOST"),
    ],
)
def test_wrong_settings(line: str, said: str, tmp_path: Path) -> None:
    """S63, S66: a wrong setting ends pserve with the words and the code of the command line."""
    command = pserve(tmp_path, line)
    ended = subprocess.run(
        command.argv,
        cwd=tmp_path,
        env={**os.environ, **command.env, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Exiting 2" in ended.stderr  # pserve says the code, and ends with another
    assert "Traceback" not in ended.stderr
    assert said in ended.stderr
