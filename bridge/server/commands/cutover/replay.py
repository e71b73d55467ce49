"""`asgi-bridge cutover replay`: ask old and new what was recorded, and compare (M13).

Exit codes: 0; 1, more has differed than `--max-different` allows; 2, wrong usage, or no recording;
3, an app did not start; 4, a side does not answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn, TypeAlias

import click

from bridge.arguments.checks import Check
from bridge.arguments.values import VALUE_TYPES
from bridge.cutover.settings_file import APPS, Plan, read_plan
from bridge.cutover.shadow.records import RecordedRequest
from bridge.cutover.shadow.replay.replay import NoSide, Replay
from bridge.cutover.shadow.replay.routes import route_finder
from bridge.cutover.shadow.replay.side import PATIENCE, Side
from bridge.cutover.shadow.replay.source import Recording, read_recording
from bridge.cutover.shadow.report.file import BoundedFile
from bridge.cutover.shadow.report.summary import Summary
from bridge.cutover.shadow.rules import RuleSet, parse_rules
from bridge.errors import AppLoadError, ConfigError
from bridge.server.commands.cutover.hosted import hosted
from bridge.server.commands.cutover.report import AS_JSON, MAX_DIFFERENT, show
from bridge.server.commands.help.pages import Command
from bridge.server.control.text import printable

NOT_STARTED, NO_SIDE = 3, 4
#: The most answers that fail of which each gets a line.
_MOST_TOLD = 10

_FindRoute: TypeAlias = Callable[[RecordedRequest], str | None]
_FIELD = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*)")
_SECONDS = Check(type=VALUE_TYPES["Seconds"], minimum=0.001)


@click.pass_context
def _replay(ctx: click.Context, /, recording: str, **options: Any) -> None:
    try:
        plan = None if options["cutover"] is None else read_plan(options["cutover"])
        _take_apps(plan, options)
        _take_fields(plan, options)
        rules = _rules(plan, options)
        headers = {side: _headers(options[side]) for side in ("header", "old_header", "new_header")}
        found = read_recording(recording, options["host"], unsafe=options["unsafe"])
        find_route = _find_routes(plan, found, options["cutover"])
        file = None if options["report"] is None else BoundedFile(options["report"])
        with ExitStack() as stack:
            sides = [
                stack.enter_context(_side(name, options, headers["header"] + headers[own]))
                for name, own in (("old", "old_header"), ("new", "new_header"))
            ]
            summary = _run(sides, rules, found.requests, file, find_route, options)
    except ConfigError as error:
        raise click.UsageError(str(error), ctx) from None
    except AppLoadError as error:
        _end(str(error), NOT_STARTED)
    except NoSide as error:
        _end(str(error), NO_SIDE)
    _tell_skipped(found)
    show(summary, options["limit"], as_json=options["as_json"])


def _take_apps(plan: Plan | None, options: dict[str, Any]) -> None:
    """Fill in the apps that the file of a cutover names. Raises `ConfigError`."""
    for side in APPS:
        if options[side] is None and plan is not None:
            options[side] = plan.apps.get(side)
        if options[side] is None:
            raise ConfigError(f"no {side} app is named; say --{side} APP, or --cutover FILE")


def _take_fields(plan: Plan | None, options: dict[str, Any]) -> None:
    """Add the fields that live copies compare as well (`Shadow.fields`)."""
    shadow = None if plan is None else plan.options.get("shadow")
    options["field"] = [*options["field"], *(shadow or {}).get("fields", ())]


def _rules(plan: Plan | None, options: dict[str, Any]) -> RuleSet:
    """Join what the command and a cutover's routes say of what may differ. Raises `ConfigError`."""
    texts = [*options["ignore"]]
    for route in () if plan is None else plan.routes:
        for rule in route.ignore or ():
            texts.append(rule if rule.startswith("@") else f"@{route.name} {rule}")
    return parse_rules(texts)


def _find_routes(plan: Plan | None, found: Recording, path: str | None) -> _FindRoute:
    """Leave of a recording what the routes of a cutover take; returns what names them."""
    if plan is None:
        return lambda request: None
    find_route = route_finder(plan.routes)
    found.keep(find_route, f"of no route of {path}")
    return find_route


def _end(error: str, code: int) -> NoReturn:
    click.echo(f"Error: {printable(error)}", err=True)
    raise SystemExit(code)


def _headers(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    found = []
    for text in texts:
        match = _FIELD.fullmatch(text)
        if match is None or not match[2].isascii():
            raise ConfigError(f"{text!r} is no field of a request; allowed is NAME: VALUE")
        found.append((match[1], match[2]))
    return found


@contextmanager
def _side(name: str, options: dict[str, Any], headers: list[tuple[str, str]]) -> Iterator[Side]:
    """Make a side of an address, or of an app that is served for it."""
    target = options[name]
    about = {"patience": options["timeout"], "keep_cookies": options["keep_cookies"]}
    if "//" in target.partition("(")[0] or target.startswith("unix:"):
        yield Side(name, target, headers, **about)
        return
    with hosted(name, target, options["app_dir"]) as address:
        yield Side(name, address, headers, **about)


def _run(
    sides: list[Side],
    rules: RuleSet,
    requests: list[RecordedRequest],
    file: BoundedFile | None,
    find_route: _FindRoute,
    options: dict[str, Any],
) -> Summary:
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if len(told) <= _MOST_TOLD:
            click.echo(f"Error: {printable(line)}", err=True)

    old, new = sides
    replay = Replay(
        old,
        new,
        rules,
        twice=options["noise"],
        fields=[name.lower() for name in options["field"]],
        file=file,
        tell=tell,
        find_route=find_route,
    )
    return replay.run(requests)


def _tell_skipped(found: Recording) -> None:
    for line in found.broken:
        click.echo(f"Warning: {printable(line)}", err=True)
    for reason, count in found.skipped.most_common(20):
        click.echo(f"Skipped: {count} x {printable(reason)}", err=True)


def _read_seconds(ctx: click.Context, option: click.Parameter, value: str) -> float:
    try:
        return float(_SECONDS.read(value, "--timeout"))
    except ConfigError as error:
        raise click.UsageError(str(error), ctx) from None


def _many(flag: str, metavar: str, help: str) -> click.Option:
    return click.Option([flag], metavar=metavar, multiple=True, help=help)


_WHERE = "http://host:port, https://host, or module:attr, which is served for it."
command = Command(
    "replay",
    callback=_replay,
    params=[
        click.Argument(["recording"], metavar="RECORDING"),
        click.Option(["--old"], metavar="APP", help=f"The old app: {_WHERE}"),
        click.Option(["--new"], metavar="APP", help="The new app, in the same way."),
        click.Option(
            ["--cutover"],
            metavar="FILE",
            help="Take the apps from the file of a cutover, of the requests what its routes take, "
            "by their names, and what may differ in them.",
        ),
        _many("--ignore", "RULE", "What may differ, such as '$..id' or 'header:location'."),
        _many("--field", "NAME", "A field of responses to compare as well."),
        click.Option(["--noise"], is_flag=True, help="Ask the old app twice, to learn its noise."),
        click.Option(
            ["--unsafe"],
            is_flag=True,
            help="Send POST, PUT, DELETE and the like, too: both sides will do what they say.",
        ),
        click.Option(["--host"], metavar="NAME", help="Only requests to this host."),
        _many("--header", "FIELD", "A field to send, such as 'Cookie: sessionid=...'."),
        _many("--old-header", "FIELD", "A field to send to the old app only."),
        _many("--new-header", "FIELD", "A field to send to the new app only."),
        click.Option(
            ["--keep-cookies"],
            is_flag=True,
            help="Send each side the cookies that it sets, as a browser does.",
        ),
        click.Option(
            ["--timeout"],
            metavar="SECONDS",
            default=f"{PATIENCE:g}",
            callback=_read_seconds,
            show_default=True,
            help="The longest that an answer may take.",
        ),
        click.Option(
            ["--app-dir"], metavar="PATH", default=".", help="Where the modules are. Default: here."
        ),
        click.Option(["--report"], metavar="FILE", help="Write a line of JSON for each request."),
        MAX_DIFFERENT,
        AS_JSON,
    ],
    short_help="Ask old and new what was recorded, and compare.",
    help="Ask both apps the requests in the file RECORDING (a HAR, which browsers and proxies "
    "export, or what our recorder has written), compare the answers, and sum up what differs. Only "
    "GET, HEAD and OPTIONS are sent, unless --unsafe is given.",
)
