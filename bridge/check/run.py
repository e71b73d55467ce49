"""Check all apps that a target names: the app itself, what an adapter wraps, each mount."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from bridge.adapters.runner_app import RunnerApp
from bridge.arguments.kinds import Kind, check_kind, detect
from bridge.asgi.versions import Asgi2AsAsgi3
from bridge.check.asgi.drive import AsgiDrive
from bridge.check.findings import Finding, Findings
from bridge.check.kind import why
from bridge.check.places import app_modules
from bridge.check.report import AppReport, Report
from bridge.check.requests import Options, summary
from bridge.check.surroundings.django import allowed_host, look_at_django
from bridge.check.surroundings.frameworks import look_at_frameworks
from bridge.check.surroundings.libraries import (
    look_at_drivers,
    look_at_patching,
    look_at_pools,
    patched_by,
)
from bridge.check.surroundings.source import look_at_source
from bridge.check.verdicts import advice, verdicts
from bridge.check.watching.logs import Logs
from bridge.check.wsgi.drive import WsgiDrive
from bridge.check.wsgi.shared import look_at_connections
from bridge.check.wsgi.trials import try_runners
from bridge.detect import as_asgi
from bridge.dispatcher import Dispatcher
from bridge.fallback import Fallback
from bridge.wsgi_to_asgi import WsgiToAsgi


@dataclass(frozen=True)
class Subject:
    """One app: its name for people, and the path at which it is mounted."""

    name: str
    app: Any
    kind: Kind
    root_path: str = ""


def subjects(app: Any, name: str, kind: str | None = None, root: str = "") -> Iterator[Subject]:
    """Yield the apps in `app`: in the adapters of this toolkit, and in its mounts."""
    loaded = sys.modules.get("bridge.asgi_to_wsgi")
    cutover = sys.modules.get("bridge.cutover.app")
    if isinstance(app, Dispatcher):
        for route in app.routes:
            prefix = root if route.keep_prefix else root + route.prefix
            at = f"{name} at {route.host}{route.prefix or '/'}"
            yield from subjects(route.app, at, route.kind, prefix)
    elif cutover is not None and isinstance(app, cutover.Cutover):
        for side, mounted in app.sides.items():
            yield from subjects(mounted.app, f"the {side} app of {name}", mounted.kind, root)
    elif isinstance(app, Fallback):
        for number, each in enumerate(app.apps, 1):
            yield from subjects(each, f"app {number} of {name}", None, root)
    elif isinstance(app, WsgiToAsgi):
        plain = app.interface == WsgiToAsgi.interface
        within = "in WsgiToAsgi" if plain else f"{app.interface}: its synchronous views"
        yield Subject(f"{name} ({within})", app.app, "wsgi", root)
    elif isinstance(app, RunnerApp):
        yield Subject(f"{name} (in from_asgi1)", app.app, "asgi1", root)
    elif loaded is not None and isinstance(app, loaded.AsgiToWsgi):
        yield Subject(f"{name} (in AsgiToWsgi)", app.app, "asgi3", root)
    elif isinstance(app, Asgi2AsAsgi3):
        yield Subject(name, app.app, "asgi2", root)
    else:
        yield Subject(name, app, check_kind(kind) or detect(app), root)


def check(
    app: Any,
    name: str,
    *,
    command: str,
    options: Options,
    kind: str | None = None,
    found: Iterable[Finding] = (),
    known: Iterable[str] = (),
) -> Report:
    """Drive `app`, and return what was found.

    `name` and `command` are how people name and serve it; `found` was seen while it was imported;
    `known` are the names of the modules that were loaded before that.
    """
    asked = list(subjects(app, name, kind))
    process, before = Findings(), list(found)
    library = patched_by()
    if library is not None:
        look_at_patching(library, app_modules(known), process)
        before += process
        apps = [_not_driven(each, library, before) for each in asked]
    else:
        options = _with_host(options)
        with Logs(passes_on=options.verbose) as logs:
            apps = [_check_one(each, options, logs, app_modules(known)) for each in asked]
        _look_around(asked, apps, app_modules(known), options.threads, process)
        before += process
        for each in apps:
            each.verdicts = verdicts(each.kind, [*before, *each.findings])
    everything = [*before, *(each for report in apps for each in report.findings)]
    kinds = [each.kind for each in apps]
    return Report(apps, before, advice(command, kinds, everything, options.threads))


def _with_host(options: Options) -> Options:
    """Have requests name a host that a Django project takes."""
    host = allowed_host()
    if host is None or any(name == "host" for name, _ in options.fields):
        return options
    return replace(options, fields=(*options.fields, ("host", host)))


def _look_around(
    asked: Sequence[Subject],
    apps: Sequence[AppReport],
    modules: Sequence[ModuleType],
    threads: int,
    findings: Findings,
) -> None:
    """Note what libraries, settings and source say."""
    as_asgi = any(each.kind != "wsgi" for each in asked)
    blocking = [
        place
        for app in apps
        for each in app.findings
        if each.id == "blocks-loop"
        for place in each.places
    ]
    look_at_django(findings, as_asgi=as_asgi)
    look_at_drivers(findings)
    if any(each.kind == "wsgi" for each in asked):
        look_at_pools(modules, threads, findings)
        look_at_connections(modules, findings)
    look_at_source(modules, findings, as_asgi=as_asgi, known=blocking)


def _not_driven(subject: Subject, library: str, found: Sequence[Finding]) -> AppReport:
    """Return the report of an app that needs threads of another kind."""
    return AppReport(
        subject.name,
        subject.kind,
        why(subject.app, subject.kind),
        [],
        verdicts(subject.kind, found),
        remarks=[f"Nothing was sent: with threads replaced by {library} it cannot be driven here."],
    )


def _check_one(subject: Subject, options: Options, logs: Logs, modules: list[Any]) -> AppReport:
    findings = Findings()
    drive: WsgiDrive | AsgiDrive
    if subject.kind == "wsgi":
        drive = WsgiDrive(subject.app, options, findings, logs, modules, subject.root_path)
    else:
        app = as_asgi(subject.app, subject.kind)
        drive = AsgiDrive(
            app,
            options,
            findings,
            logs,
            subject.root_path,
            websocket=subject.kind != "asgi1",
        )
    drive.run()
    if subject.kind == "wsgi" and findings.worst != "error":
        try_runners(subject.app, drive.answers, options, findings, subject.root_path)
        logs.take()
    look_at_frameworks(subject.app, findings)
    sent = [each.request for each in drive.answers]
    return AppReport(
        subject.name,
        subject.kind,
        why(subject.app, subject.kind),
        list(findings),
        verdicts(subject.kind, findings),
        summary(sent, options.missing),
        len(sent),
        drive.remarks(),
    )
