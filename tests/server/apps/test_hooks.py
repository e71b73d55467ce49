"""The operator's functions around processes: loaded, called, and never in the way (P11)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import AppLoadError
from bridge.server.apps.hooks import load_hook, worker_hooks
from bridge.server.config.config import Config

SOURCE = """
seen = []
def hook(config):
    seen.append(config.port)
def failing(config):
    raise ValueError("no cache")
def leaving(config):
    raise SystemExit(1)
async def later(config): ...
value = 5
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with hooks, which is found by `app_dir` alone."""
    name = f"hooks_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.setattr("sys.path", [*sys.path])
    return name


def test_a_hook_by_name(module: str, tmp_path: Path) -> None:
    """P11: it is found as an app is, and gets the settings."""
    config = Config(port=9, app_dir=str(tmp_path), on_start=f"{module}:hook")
    load_hook("on_start", config.on_start, config)()
    assert sys.modules[module].seen == [9]


def test_a_hook_from_python_and_none() -> None:
    """P11: a program may give the function itself; what is not set does nothing."""
    seen: list[Config] = []
    config = Config(post_fork=seen.append)
    load_hook("post_fork", config.post_fork, config)()
    load_hook("on_start", config.on_start, config)()
    assert seen == [config]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("failing", "the hook on_start raised ValueError: no cache ("),
        ("leaving", "the hook on_start raised SystemExit: 1 ("),
    ],
)
def test_a_hook_that_raises(
    module: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, function: str, said: str
) -> None:
    """P11, O8: one line with the place in its code, and the server goes on."""
    config = Config(app_dir=str(tmp_path))
    load_hook("on_start", f"{module}:{function}", config)()
    (record,) = caplog.records
    line = {"failing": 6, "leaving": 8}[function]
    assert record.getMessage().startswith(said)
    assert record.getMessage().endswith(f"{module}.py, line {line}); the server goes on")
    assert record.exc_info is None


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_module:hook", "on_start: there is no module 'no_such_module' in "),
        ("{module}:hok", "on_start: {module} has no attribute 'hok' (it is "),
        ("{module}:value", "on_start: {module}:value is 5; a hook is a plain function of one"),
        ("{module}:later", "on_start: {module}:later is a coroutine function; a hook is a plain"),
    ],
)
def test_a_hook_that_does_not_exist(module: str, tmp_path: Path, target: str, said: str) -> None:
    """P11, O6: it is told at the start, with what was probably meant."""
    config = Config(app_dir=str(tmp_path))
    with pytest.raises(AppLoadError) as caught:
        load_hook("on_start", target.format(module=module), config)
    assert str(caught.value).startswith(said.format(module=module))
    assert caught.value.__cause__ is None


def test_a_module_that_raises(tmp_path: Path) -> None:
    """P11: what it raised is the cause, whose lines are shown."""
    (tmp_path / "breaking_hooks.py").write_text("1 / 0\n")
    with pytest.raises(
        AppLoadError, match=r"^post_fork: importing breaking_hooks failed"
    ) as caught:
        load_hook("post_fork", "breaking_hooks:hook", Config(app_dir=str(tmp_path)))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_around_a_worker() -> None:
    """P11: one before, one after, whatever ends it; if one is missing, none is called."""
    seen: list[Any] = []
    hooks: dict[str, Any] = {
        "post_fork": lambda config: seen.append("fork"),
        "worker_exit": lambda config: seen.append("exit"),
    }
    with pytest.raises(ZeroDivisionError), worker_hooks(Config(**hooks)):
        seen.append(1 / 0)
    assert seen == ["fork", "exit"]
    wrong = Config(**hooks | {"worker_exit": "no_such_module:hook"})
    with pytest.raises(AppLoadError), worker_hooks(wrong):
        pass
    assert seen == ["fork", "exit"]
