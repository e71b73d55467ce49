"""What is printed of an error, and the exit code that it gives."""

from __future__ import annotations

import errno
from types import CodeType

import pytest

from bridge.errors import AppLoadError, ConfigError, LayerUnavailable, LifespanFailed
from bridge.server.process import exits
from bridge.server.process.exits import code_of, print_error


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def raised_by(code: str | CodeType, **names: object) -> BaseException:
    """What running `code` raises, with its traceback below this function."""
    with pytest.raises((Exception, SystemExit)) as raised:
        exec(code, names)
    assert raised.tb is not None
    return raised.value.with_traceback(raised.tb.tb_next)


def test_the_code_tells_whether_to_try_again() -> None:
    """S62: 2 and 3 are not to be tried again; what an address in use gives, and a bug, may be."""
    in_use = caused(ConfigError("8000 is taken"), OSError(errno.EADDRINUSE, "in use"))
    assert code_of(in_use) == 1
    assert code_of(ConfigError("no such setting")) == 2
    assert code_of(AppLoadError("no such module")) == 3
    assert code_of(LifespanFailed("no database", "startup")) == 3
    assert code_of(LifespanFailed("no database", "shutdown")) == 1
    assert code_of(LayerUnavailable("no Redis")) == 3
    assert code_of(OSError("disk full")) == 1


def test_an_error_of_the_server_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """S62: also one with a cause that no line of the app is in."""
    print_error(caused(AppLoadError("no such module"), ImportError("gone")))
    print_error(ConfigError("no such setting"))
    assert capsys.readouterr().err == "Error: no such module\nError: no such setting\n"


def test_an_error_of_the_app_has_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """S62: the lines of the app's code; those of a syntax error; all of a failed startup."""
    print_error(caused(AppLoadError("broken"), raised_by(compile("1/0", "app.py", "exec"))))
    printed = capsys.readouterr().err
    assert 'File "app.py", line 1' in printed
    assert printed.endswith("Error: broken\n")
    print_error(caused(AppLoadError("unfinished"), raised_by("def make(:")))
    assert "def make(:" in capsys.readouterr().err
    print_error(caused(LifespanFailed("no"), ValueError("no database")))
    print_error(caused(LifespanFailed("no"), raised_by(compile("1/0", "app.py", "exec"))))
    assert "ValueError: no database" in capsys.readouterr().err


def test_code_of_the_server_is_cut_off_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """S62: what the server called to get to the app does not help its author."""
    lines = compile("1/0", "app.py", "exec")
    through_server = compile("exec(lines)", exits.__file__, "exec")
    cause = raised_by(through_server, lines=lines)
    print_error(caused(AppLoadError("broken"), cause))
    assert capsys.readouterr().err.count("  File ") == 1
