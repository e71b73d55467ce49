"""``use = egg:asgi-bridge`` in an INI file's ``[server:main]``: PasteDeploy, Pyramid's pserve."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from bridge.errors import ConfigError
from bridge.server.commands.running import run_server
from bridge.server.config.sources import from_ini


def serve_paste(app: Any, global_conf: Mapping[str, str] | None = None, /, **settings: str) -> int:
    """Serve `app` until told to stop: PasteDeploy's ``paste.server_runner``.

    `settings` are those of the command line, as text. They beat the environment. A wrong one ends
    the process with code 2, and what else goes wrong as it does on the command line.
    """
    try:
        config = from_ini(app, settings, os.environ)
    except ConfigError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(click.UsageError.exit_code)
    try:
        run_server(config)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    return 0
