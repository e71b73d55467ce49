"""The pages of docs/reference that are made from the code; and whether each setting does something.

They are settings.md, equivalents.md, and those of tools/site: commands.md, errors.md,
metrics.md, messages.md.

``python -m tools.settings --write`` writes the pages in docs/reference; without it, this exits with
1 where one of them is not what the code says. It exits with 1, too, where a setting is listed that
no code reads.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from enum import IntEnum
from itertools import groupby
from pathlib import Path

import click
import gunicorn.config
import uvicorn

from bridge.server import cli
from bridge.server.config.config import SETTINGS
from bridge.server.config.equivalents import GUNICORN, NOTES, UVICORN
from bridge.server.config.setting import Setting
from tools.site import commands, errors, messages, metrics

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
CODE = ROOT / "bridge"

HEAD = """\
# Settings

<!-- Made from bridge/server/config/ by scripts/fix. -->

Every setting of the server, listed by the option of `asgi-bridge serve`. Those of the last section
belong to `asgi-bridge gateway` and `asgi-bridge worker`, which have many of the others, too: what
`--help` lists. There are four ways to set them. If one is set in several ways, the first in this
list wins:

1. on the command line: `--limit-body-size 20M`
2. in the environment: `BRIDGE_LIMIT_BODY_SIZE=20M` (an empty variable counts as not set; the items
   of a list are separated by commas)
3. in a TOML file: `limit_body_size = "20M"`, in the table `[tool.bridge]`. A file that has only
   these settings needs no table. `-c FILE` or `BRIDGE_CONFIG` names the file; without them, a
   `pyproject.toml` in the working directory is read if it has that table.
4. from Python: `bridge.serve(app, limit_body_size=20 * 1024 * 1024)`

`asgi-bridge config` with the same options shows all settings, and where each comes from; `serve
--check-config` loads the app and what the settings name, and stops.

On the command line and in a file, an unknown setting is an error. An unknown variable that begins
with `BRIDGE_` may belong to another program, so `asgi-bridge serve` only warns. Tables of other
programs in a `pyproject.toml` are ignored.

The variables `PORT`, `WEB_CONCURRENCY` and `FORWARDED_ALLOW_IPS` are used too, if the variable with
`BRIDGE_` is not set. Platforms set `WEB_CONCURRENCY`, the number of workers, by the size of the
machine. Variables that Kubernetes sets for a Service called
bridge (such as `BRIDGE_PORT=tcp://...`) are ignored. In a container, and on platforms that set
`PORT`, also set `--host 0.0.0.0`: the default, 127.0.0.1, cannot be reached from outside. A host or
port from a higher source replaces a `bind` from a lower one.

Sizes are in bytes, and may end in `K`, `M` or `G`. Times are in seconds; as text they may have a
unit: `250ms`, `30s`, `5m`, `1h30m`, `7d`. Paths are relative to the working directory. Permissions
are octal: `660` as text, `0o660` as a number.

`BRIDGE_SPEEDUPS` is read when the package is imported, by the server and by the adapters. If a C
compiler and the headers of Python were there when asgi-bridge was installed, it has an
*accelerator*: a small compiled module, which reads plain request heads, and fills environs from
them, in half the time or less. Python does the same if it is not there, and reads all other heads
in any case. `no` has Python do everything; `yes` makes the import fail if there is no compiled
module; without the variable it is used if it is there. `asgi-bridge --version` says whether it is.

| exit code | when |
| --- | --- |
| 0 | the server was told to stop, and has stopped |
| 1 | an error outside (the address is in use), or the app's lifespan shutdown failed |
| 2 | wrong usage, or a wrong setting |
| 3 | the app could not be loaded or started; starting it again does not help |
| 130 | after a second SIGINT, if that cut what the process would not end by itself; with a \
supervisor, always |
| 143 | the time after SIGTERM was up: the process did not stop by itself |

With a supervisor these are its own codes. If a worker ends with one of them while others serve,
that is a line in the log, and another worker starts. `asgi-bridge ctl` ends with 0 if the order was
carried out, with 1 if not, with 2 after wrong usage, and with 4 if there is no server.

| signal | one process alone | with a supervisor (send it to the supervisor) |
| --- | --- | --- |
| SIGTERM, SIGINT | stops the server, also if SIGINT was ignored at the start (`&` in a shell \
script). A second SIGTERM changes nothing, a second SIGINT ends what the stop waits for | the \
same, for all workers |
| SIGHUP | loads the certificates again. If the terminal of the server was closed: stops it, \
unless it was started with `nohup` | starts new workers with the code, settings, certificates \
and log files of now; then the old ones retire. If the new ones cannot start, the old ones stay. \
A closed terminal: as for one process |
| SIGTTIN | a line says that it serves alone | one worker more |
| SIGTTOU | what the system makes of it: it may suspend the process, so do not send it | one \
worker less; one is the least |
| SIGUSR1 | opens log files again that were moved | the same, in all processes |
| SIGUSR2 | logs connections, requests served, the figures of each runner, and where its threads \
and tasks stand | the same for each worker |
| SIGTERM to a worker | | that one is replaced: it serves until another one has started |

There is a supervisor with more than one of `--workers`, and whenever a worker may have to be
replaced or to take orders: with `--cutover`, `--max-requests`, `--max-rss`, `--max-lifetime`,
`--preload`, `--reload`, `--control-socket`, or a hook.
[Processes](../explanation/processes.md) explains what it does.
"""


ABOVE_EQUIVALENTS = """\
# Options of uvicorn and Gunicorn

<!-- Made from bridge/server/config/ by scripts/fix. -->

Every option of `uvicorn` (0.54) and `gunicorn` (27) is listed here. Most work as they do there,
many under the same name ([settings](settings.md) says what each does). If you use one that does
not, the error says what is in the second table of its program.

`UVICORN_*` and `GUNICORN_CMD_ARGS` in the environment are not read; the start says what to set
instead. Gunicorn's configuration files are Python, and are not read; what is in them can be in a
TOML file. `asgi-bridge config` shows what a command line comes to. The guides: [coming from
uvicorn](../howto/from/uvicorn.md), [coming from Gunicorn](../howto/from/gunicorn.md).
"""


#: Defaults of Gunicorn that are of the machine on which this page is made.
_OF_THE_MACHINE = {"chdir": "the working directory", "user": "", "group": ""}


def options_of_uvicorn() -> list[tuple[list[str], str]]:
    """Every option of the installed uvicorn, with its other spellings, and its default."""
    params = [each for each in uvicorn.main.params if each.name not in ("app", "version")]
    return [([*each.opts, *each.secondary_opts], _default(each.default)) for each in params]


def options_of_gunicorn() -> list[tuple[list[str], str]]:
    """Every option of the installed Gunicorn, with its other spellings, and its default."""
    return [
        (list(each.cli), _OF_THE_MACHINE.get(each.name, _default(each.default)))
        for each in gunicorn.config.KNOWN_SETTINGS
        if each.cli
    ]


def _default(value: object) -> str:
    """Return a default as it stands on a page; empty if there is none."""
    match value:
        case bool():
            return "`on`" if value else "`off`"
        case IntEnum():
            return f"`{value.name}`"
        case list() | tuple():
            return f"`{', '.join(map(str, value))}`" if value else ""
        case str() | int() | float() if value != "":
            return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
    return ""


def ours() -> dict[str, str]:
    """Every option of `serve`, each spelling of it -> the first long one."""
    known: dict[str, str] = {}
    by_name = {each.name: each.flag for each in SETTINGS}
    for param in cli.main.commands["serve"].params:
        if isinstance(param, click.Option):
            known |= dict.fromkeys(param.opts, by_name.get(str(param.name), max(param.opts)))
            known |= {each: each for each in param.secondary_opts}
    return known


def render_equivalents() -> str:
    """The page of other programs' options."""
    parts = [ABOVE_EQUIVALENTS]
    for program, theirs, table in (
        ("uvicorn", options_of_uvicorn(), UVICORN),
        ("Gunicorn", options_of_gunicorn(), GUNICORN),
    ):
        working = _working(theirs)
        other: dict[str, list[str]] = {}
        for option, instead in table.items():
            other.setdefault(instead, []).append(option)
        answered = _table((options, instead) for instead, options in other.items())
        parts.append(f"\n## {program}\n\nThese work:\n\n{working}\nThese do not:\n\n{answered}")
    return "".join(parts)


def _working(theirs: list[tuple[list[str], str]]) -> str:
    """Return the table of those options of theirs that work here, with both defaults."""
    default_here = {flag: each.shown_default for each in SETTINGS for flag in each.flags}
    lines = ["| option | its default | here | default here |\n| --- | --- | --- | --- |\n"]
    for spellings, default in theirs:
        working, about = _works(spellings)
        if working:
            options = ", ".join(f"`{each}`" for each in working)
            shown = next((default_here[each] for each in working if each in default_here), "")
            own = f"`{shown}`" if shown else ""
            lines.append(f"| {options} | {_escaped(default)} | {_escaped(about)} | {own} |\n")
    return "".join(lines)


def _works(spellings: list[str]) -> tuple[list[str], str]:
    """Those spellings of an option that work here, and as what."""
    known = ours()
    working = [each for each in spellings if each in known]
    names = {known[each] for each in working} - set(working)
    notes = {NOTES[each] for each in working if each in NOTES}
    same = [] if names else ["the same"]
    return working, "; ".join([*(f"`{each}`" for each in sorted(names)), *same, *sorted(notes)])


def _table(rows: Iterable[tuple[list[str], str]]) -> str:
    lines = [
        f"| {', '.join(f'`{each}`' for each in options)} | {_escaped(about)} |\n"
        for options, about in rows
        if options
    ]
    return f"| option | here |\n| --- | --- |\n{''.join(lines)}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def render() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, settings in groupby(SETTINGS, key=lambda setting: setting.section):
        rows = "\n".join(_row(setting) for setting in settings)
        parts.append(
            f"\n## {title}\n\n| option | default | meaning |\n| --- | --- | --- |\n{rows}\n"
        )
    return "".join(parts)


def _row(setting: Setting) -> str:
    if setting.name == "app":
        options = "`MODULE:ATTR`"
    elif isinstance(setting.default, bool):
        options = f"`{setting.flag}`, `--no-{setting.flag.removeprefix('--')}`"
    else:
        options = ", ".join(f"`{flag}`" for flag in setting.flags)
    default = f"`{setting.shown_default}`" if setting.shown_default else ""
    meaning = setting.help.replace("|", "\\|")
    if setting.choices:
        meaning += " One of " + ", ".join(f"`{choice}`" for choice in setting.choices) + "."
    return f"| {options} | {default} | {meaning} |"


def unread(code: Path) -> list[str]:
    """The settings that no code reads, so that giving them would do nothing."""
    source = "".join(file.read_text(encoding="utf-8") for file in code.rglob("*.py"))
    read = set(re.findall(r"\bconfig\.(\w+)", source))
    return [setting.name for setting in SETTINGS if setting.name not in read]


def main(arguments: list[str]) -> int:
    """Check the page, or with ``--write`` write it. Returns the exit code."""
    problems = [f"{name} is a setting, and no code reads it" for name in unread(CODE)]
    lines = messages.in_code(CODE)
    problems += messages.problems(lines)
    texts = errors.in_code(CODE)
    problems += errors.problems(texts, errors.advice())
    pages = {
        "settings.md": render(),
        "equivalents.md": render_equivalents(),
        "commands.md": commands.render(),
        "errors.md": errors.render(texts),
        "metrics.md": metrics.render(),
        "messages.md": messages.render(lines),
    }
    problems += metrics.problems(metrics.in_code(CODE))
    for name, page in pages.items():
        path = REFERENCE / name
        if "--write" in arguments:
            path.write_text(page, encoding="utf-8")
        if not path.exists() or path.read_text(encoding="utf-8") != page:
            problems.append(f"{path.name} is not what the code says; run scripts/fix")
    print("\n".join(problems) or f"{len(SETTINGS)} settings")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
