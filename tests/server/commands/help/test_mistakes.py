"""Mistakes on the command line, answered with what to write instead."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from bridge.server.cli import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--reload", "false", "a:b"],
            "--reload takes no value (seen: false); say --reload or --no",
        ),
        (["--request-timeout", "1"], "No such option '--request-timeout'; did you mean --timeout-"),
        (["--no-such", "x"], "No such option"),
        (["--debug", "a:b"], "No such option '--debug'; here: --reload starts the app anew when"),
        (["--app", "a:b"], "here: say the app without an option, such as asgi-bridge serve app"),
        (["--worker-class", "gevent"], "is an option of Gunicorn; here: say --runner thread|gree"),
    ],
)
def test_what_to_write_instead(arguments: list[str], said: str) -> None:
    """O9: options of other servers, words in another order, and flags with values."""
    done = CliRunner().invoke(main, ["serve", *arguments])
    assert done.exit_code == 2
    assert said in done.output
