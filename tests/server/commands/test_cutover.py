"""The group `asgi-bridge cutover`."""

from __future__ import annotations

import subprocess
import sys

from click.testing import CliRunner

from bridge.server.cli import main


def test_the_group_lists_its_commands() -> None:
    """M12: `asgi-bridge cutover` shows its commands, and says which one is unknown."""
    result = CliRunner().invoke(main, ["cutover", "--help"])
    assert "report" in result.output
    result = CliRunner().invoke(main, ["cutover", "nonsense"])
    assert (result.exit_code, "nonsense" in result.output) == (2, True)


def test_a_server_loads_none_of_them() -> None:
    """M12: the command line loads nothing of the comparison until it is asked for."""
    code = "import bridge.server.cli, sys; print([m for m in sys.modules if 'shadow' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
