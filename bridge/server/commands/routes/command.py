"""`asgi-bridge routes`: load the app as a start would, read its routes, and print them (M50).

No lifespan is started, no socket is opened and no view is called. What the app prints while it is
imported goes to standard error, so that the output is the table alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from bridge.route_tables import Answer, Row, read_table, site_table, who_answers
from bridge.route_tables.route import RouteKind
from bridge.server.apps.mounts import check_loaded
from bridge.server.commands.routes.naming import Names
from bridge.server.commands.routes.options import NEVER_REACHED, Asked
from bridge.server.commands.routes.shown import Shown, as_object
from bridge.server.commands.routes.table import summary_of, table_of, visible
from bridge.server.config.config import Config
from bridge.server.logs.loggers import configure_logging
from bridge.server.server import Server

#: Settings that would open files.
_NO_FILES: Any = {"log_config": None, "log_file": None, "access_log_file": None}


def read_site(config: Config) -> list[Row]:
    """Load the app, and return its routes. Raises `ConfigError` and `AppLoadError`."""
    with redirect_stdout(sys.stderr):
        configure_logging(replace(config, **_NO_FILES))
        server = Server(config)
        server.load()
        check_loaded(server.app)
        names = Names(config, server.app)
        return site_table(read_table(server.app, names.root, names.name_of))


def routes(config: Config, asked: Asked, width: int | None) -> tuple[str, int]:
    """Return what is printed, and the exit code."""
    rows = read_site(config)
    if asked.path is not None:
        answers = _answers(rows, asked, asked.path)
        text = _answers_json(answers) if asked.as_json else _answers_text(answers, asked)
        return text, 0
    shown = list(visible(rows))
    code = NEVER_REACHED if asked.strict and any(row.never for row in shown) else 0
    if asked.as_json:
        return json.dumps([as_object(row) for row in shown], indent=2), code
    return "\n".join([*table_of(shown, width), "", summary_of(shown)]), code


# ------------------------------------------------------------- who would answer


def _answers(rows: Sequence[Row], asked: Asked, path: str) -> list[Answer]:
    kind: RouteKind = "websocket" if asked.method == "WEBSOCKET" else "http"
    return who_answers(rows, unquote(urlsplit(path).path), asked.method, asked.host, kind)


def _answers_json(answers: Sequence[Answer]) -> str:
    found = [
        {**as_object(each.row), "answers": each.says or "this route", "surely": each.surely}
        for each in answers
    ]
    return json.dumps(found, indent=2)


def _answers_text(answers: Sequence[Answer], asked: Asked) -> str:
    request = f"{asked.method} {asked.host}{asked.path}"
    if not answers:
        return f"{request} is answered by nobody: nothing is mounted there"
    lines = []
    for number, answer in enumerate(answers):
        row, shown = answer.row, Shown.of(answer.row)
        lead = "and then" if number else f"{request} is answered by"
        lines.append(f"{lead} {row.app.app}, mounted at {row.mount}")
        if not row.is_rest and not row.is_unread:
            lines.append(f"  route  {shown.path}")
        if shown.view:
            lines.append(f"  view   {shown.view}  {shown.runs}  {shown.place}".rstrip())
        if answer.says:
            lines.append(f"  note   {answer.says}")
    return "\n".join(lines)
