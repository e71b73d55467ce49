"""What `asgi-bridge` says if it is told nothing, and if no app is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.server.cli import main
from bridge.server.commands.help import first_steps
from tests.server.test_cli import run
from tests.support import hosts


def test_nothing_said(tmp_path: Path) -> None:
    """O9: `python -m bridge` shows three commands and where more is; 2, for nothing was done."""
    done = run(cwd=tmp_path, PYTHONPATH=str(hosts.ROOT))
    assert (done.returncode, done.stdout) == (2, "")
    lines = [line.strip() for line in done.stderr.splitlines()]
    assert [line.partition("  ")[0] for line in lines if line.startswith("asgi-bridge ")][1:] == [
        "asgi-bridge serve myapp:app",
        "asgi-bridge check myapp:app",
        "asgi-bridge serve myapp:app --workers auto",
    ]
    assert lines[-1] == "More: asgi-bridge --help, and asgi-bridge serve --help"
    assert len(lines) < 12
    assert all(len(line) <= 100 for line in done.stderr.splitlines())


def test_what_lies_there_is_in_the_commands(tmp_path: Path) -> None:
    """O9: an app that the directory plainly has is named, and need not be imported for that."""
    (tmp_path / "app.py").write_text("raise SystemExit\napp = Flask(__name__)\n")
    shown = first_steps.text(tmp_path)
    assert "  app.py has a Flask app: app:app\n" in shown
    assert "  asgi-bridge serve app:app " in shown
    assert "myapp" not in shown


@pytest.mark.parametrize("command", ["serve", "check", "routes"])
def test_no_app_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """O9: the error has the command to copy, if there plainly is an app."""
    (tmp_path / "wsgi.py").write_text("def application(environ, start_response): ...\n")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, [command])
    assert done.exit_code == 2
    assert "no app is named; say module:attr" in done.output
    assert f"asgi-bridge {command} wsgi:application (a WSGI app, in wsgi.py)" in done.output
