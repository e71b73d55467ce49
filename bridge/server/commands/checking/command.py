"""`asgi-bridge check`: load the app, drive it, print what was found, and end.

Exit codes: 0, nothing as bad as ``--fail-on``; 1, something is; 2, wrong usage; 3, the app cannot
be loaded. The report is all of standard output: what the app prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import click

from bridge.check.catalogue.entry import SEVERITIES
from bridge.check.findings import Findings
from bridge.check.report import Report, as_json, as_text
from bridge.check.requests import Options
from bridge.check.run import check
from bridge.check.watching.importing import Importing
from bridge.server.apps.loading import load
from bridge.server.apps.mounts import check_loaded
from bridge.server.commands.running import exit_codes
from bridge.server.config.config import Config
from bridge.server.process.exits import NOT_STARTED

#: How much longer an import may take than a request.
_FOR_THE_IMPORT: Final = 6


def run_check(config: Config, options: Options, given: dict[str, Any]) -> NoReturn:
    """Check the app that `config` names, and end the process with the code that says how it is."""
    with exit_codes(), contextlib.redirect_stdout(sys.stderr):
        report = _checked(config, options)
    report = report.without(given["ignore"])
    shown = json.dumps(as_json(report), indent=2) if given["as_json"] else as_text(report)
    click.echo(shown)
    is_bad = SEVERITIES.index(report.worst) >= SEVERITIES.index(given["fail_on"])
    _end(1 if is_bad else 0)


def _checked(config: Config, options: Options) -> Report:
    findings = Findings()
    with Importing(findings, options.seconds * _FOR_THE_IMPORT, _give_up) as importing:
        app = load(config)
        check_loaded(app)
    name = config.app if isinstance(config.app, str) else str(config.cutover or "mounts")
    return check(
        app,
        name,
        command=shlex.join(_command(config)),
        options=options,
        kind=None if config.interface == "auto" else config.interface,
        found=list(findings),
        known=importing.known,
    )


def _command(config: Config) -> Sequence[str]:
    """Return the words of a command that serves the same."""
    words = ["asgi-bridge", "serve", *([str(config.app)] if config.app is not None else ())]
    for mount in config.mount:
        words += ["--mount", mount]
    if config.cutover is not None:
        words += ["--cutover", str(config.cutover)]
    if config.factory:
        words.append("--factory")
    if config.app_dir != ".":
        words += ["--app-dir", str(config.app_dir)]
    if config.interface != "auto":
        words += ["--interface", config.interface]
    return words


def _give_up(said: str) -> None:
    """End the process, whose main thread stands in an import."""
    print(f"Error: {said}", file=sys.stderr, flush=True)
    os._exit(NOT_STARTED)


def _end(code: int) -> NoReturn:
    """End the process at once: the app's threads, and requests that hang, are of no use now."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)
