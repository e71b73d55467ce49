"""The groups in which options are shown."""

from __future__ import annotations

from click.testing import CliRunner

from bridge.server.cli import main
from bridge.server.commands.help.groups import FIRST


def sections(command: str) -> dict[str, list[str]]:
    """The first words of the rows below each heading."""
    shown = CliRunner().invoke(main, [command, "--help"], terminal_width=100).output
    found: dict[str, list[str]] = {}
    for line in shown.splitlines():
        if line.endswith(":") and line[0] != " ":
            title = line.removesuffix(":")
            found[title] = []
        elif found and line.startswith("  ") and line[2] != " ":
            found[title].append(line.split("  ")[1])
    return found


def test_ten_options_come_first() -> None:
    """O9: the app, the ten options that people need first, and then the others by theme."""
    shown = sections("serve")
    title, *others = shown
    assert title == "The ten that people need first"
    assert len(shown[title]) == len(FIRST) == 11
    assert shown[title][0] == "MODULE:ATTR"
    assert others == [
        "Of this command only",
        *("The app", "How WSGI apps run", "Listening", "HTTP", "Limits", "Timeouts", "WebSocket"),
        *("Processes", "Operations", "TLS", "Behind a proxy", "Logs", "Where it starts", "Help"),
    ]


def test_every_option_is_there_once() -> None:
    """O9: also those that are no settings."""
    shown = [row for rows in sections("serve").values() for row in rows]
    options = [each for each in main.commands["serve"].params if not getattr(each, "hidden", False)]
    assert len(shown) == len({*shown}) == len(options) + 1  # --help
    assert "--uds PATH" in sections("serve")["Listening"]


def test_other_commands_have_their_own_on_top() -> None:
    """O9: what only this command has comes before the settings."""
    shown = sections("check")
    assert next(iter(shown)) == "Of this command only"
    assert "--path PATH" in shown["Of this command only"]
