"""A row of the settings: every name that it goes by follows from it (S60)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.arguments.checks import WSGI_SETTINGS
from bridge.arguments.values import Mode, Seconds, Texts
from bridge.errors import ConfigError
from bridge.server.config.setting import Setting, setting, settings_of, wsgi_setting


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Settings of a program that does not exist."""

    width: int = setting(
        3, "How wide.", "Size", short="-w", aliases=("--broad",), minimum=1, maximum=9
    )
    pause: Seconds = setting(
        2.0, "Between two.", "Time", env=("PAUSE",), minimum=0, zero_means="none"
    )
    mode: Mode = setting(0o640, "Permissions.", "Time", minimum=0, maximum=0o777)
    loud: bool = setting(True, "Make noise.", "Time")
    quick: bool = setting(False, "Hurry.", "Time")
    names: Texts = setting((), "Several.", "Time")
    note: str | None = setting(None, "Anything.", "Time", secret=True)
    runner: str = wsgi_setting("runner", "How.", "Time", short="-k")
    no_row: dict[str, str] = field(default_factory=dict)


ROWS = {row.name: row for row in settings_of(Rows)}


def test_a_field_without_a_row_is_no_setting() -> None:
    """Only what `setting` made is one, in the order of the class."""
    assert [*ROWS] == ["width", "pause", "mode", "loud", "quick", "names", "note", "runner"]


@pytest.mark.parametrize(
    ("name", "flags", "variables"),
    [
        ("width", ("-w", "--width", "--broad"), ("BRIDGE_WIDTH",)),
        ("pause", ("--pause",), ("BRIDGE_PAUSE", "PAUSE")),
        ("runner", ("-k", "--runner"), ("BRIDGE_RUNNER",)),
    ],
)
def test_names_follow_from_the_row(
    name: str, flags: tuple[str, ...], variables: tuple[str, ...]
) -> None:
    """S60: the option, its short form and its other names; the environment, ours first."""
    assert ROWS[name].flags == flags
    assert ROWS[name].variables == variables


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("width", "3"),
        ("pause", "2"),
        ("mode", "640"),
        ("loud", "on"),
        ("quick", "off"),
        ("names", ""),
        ("note", ""),
        ("runner", "thread"),
    ],
)
def test_a_default_is_shown_as_it_is_written(name: str, shown: str) -> None:
    """What the help shows can be typed."""
    assert ROWS[name].shown_default == shown
    assert ROWS[name].many == (name == "names")


def test_what_0_means_ends_the_help() -> None:
    """It is said once, in the row, and read in the help and in errors."""
    assert ROWS["pause"].help == "Between two. 0: none."
    with pytest.raises(ConfigError, match=r"at least 0 \(0: none\)"):
        ROWS["pause"].read(-1, "pause")


def test_the_bounds_are_the_row_s() -> None:
    """S61: what is allowed is said in the words of every other setting."""
    assert ROWS["width"].read("9", "--width") == 9
    with pytest.raises(ConfigError, match="--width is 10; allowed is a whole number from 1 to 9"):
        ROWS["width"].read(10, "--width")


def test_what_the_adapters_have_too_is_checked_alike() -> None:
    """S61: a row made by `running` has the adapters' check and default."""
    check, row = WSGI_SETTINGS["runner"], ROWS["runner"]
    assert (row.choices, row.minimum, row.maximum) == (check.choices, check.minimum, check.maximum)
    with pytest.raises(ConfigError, match="one of thread, greenlet, inline"):
        row.read("fork", "runner")


def test_only_what_may_be_empty_may_be_none() -> None:
    """A setting whose default is None can be set back to that, in text too."""
    assert ROWS["note"].read("", "note") is None
    with pytest.raises(ConfigError, match="width is None"):
        ROWS["width"].read(None, "width")


def test_a_secret_is_not_shown() -> None:
    """A config that is printed does not give it away."""
    rows: Any = Rows(note="sesame")
    assert "sesame" not in repr(rows)
    assert [name for name, row in ROWS.items() if row.secret] == ["note"]
    assert all(isinstance(row, Setting) for row in ROWS.values())
