"""A function of the operator's, called when the new app was taken back."""

from __future__ import annotations

import os.path
import threading
from pathlib import Path
from typing import Any

import pytest

from bridge.cutover.canary.hook import Rollback, call_hook, check_hook, load_hook
from bridge.errors import ConfigError

EVENT = Rollback("invoices", "5 % failed", 25.0)


def test_a_hook_is_a_function_or_its_name() -> None:
    """M21: a name is looked up once, when the settings are read."""
    assert load_hook(None) is None
    assert load_hook("os.path:join") is os.path.join  # type: ignore[comparison-overlap]
    assert load_hook("os:path.join") is os.path.join  # type: ignore[comparison-overlap]
    assert load_hook(print) is print


def test_a_name_is_read_and_not_looked_up() -> None:
    """M21: who only reads the routes, as the supervisor does, may not be able to import it."""
    assert check_hook("no_such_module:f") == "no_such_module:f"
    assert check_hook(print) is print
    assert check_hook(None) is None
    for wrong in ("os.path", 5, _coroutine):
        with pytest.raises(ConfigError, match="on_rollback is "):
            check_hook(wrong)


async def _coroutine(event: Rollback) -> None:
    pass


def test_a_module_that_raises_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """M21: whatever it raises when it is imported."""
    (tmp_path / "broken_hooks.py").write_text("raise SystemExit('no pager')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"importing broken_hooks: SystemExit\('no pager'\)"):
        load_hook("broken_hooks:wake")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            "os.path",
            "on_rollback is 'os.path'; allowed is a function, such as deploy.hooks:warm_up",
        ),
        (5, "on_rollback is 5; allowed is a function"),
        ("no_such_module:f", "on_rollback is 'no_such_module:f', which is not there"),
        ("os.path:no_such", "on_rollback is 'os.path:no_such', which is not there"),
        ("os:sep", "on_rollback is '/'; allowed is a plain function of one argument"),
        (_coroutine, "on_rollback is a coroutine function; allowed is a plain function"),
    ],
)
def test_what_cannot_be_called_is_refused(target: Any, said: str) -> None:
    """M21: at the start, and not when it is needed."""
    with pytest.raises(ConfigError) as caught:
        load_hook(target)
    assert said in str(caught.value)


def test_a_hook_is_called_once_with_the_route_and_the_reason() -> None:
    """M21: in a thread, so that nothing waits for it."""
    seen: list[Any] = []
    call_hook(lambda event: seen.append((event, threading.current_thread().name)), EVENT).join(20)
    assert seen == [(EVENT, "on_rollback hook")]


@pytest.mark.parametrize("error", [ValueError("no pager"), SystemExit(3)])
def test_what_a_hook_raises_goes_to_the_log(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """M21: the server goes on."""

    def hook(event: Rollback) -> None:
        raise error

    call_hook(hook, EVENT).join(20)
    (record,) = caplog.records
    assert record.getMessage() == "the hook on_rollback of route invoices raised"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_a_hook_that_does_not_end_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """M21: nothing waits for it, and the log names it."""
    end = threading.Event()
    call_hook(lambda event: end.wait(20), EVENT, patience=0.01).join(20)
    end.set()
    assert "the hook on_rollback of route invoices still runs after 0.01 s" in caplog.text
