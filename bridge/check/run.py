"""Check all apps that a target names: the app itself, what an adapter wraps, each mount."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bridge.arguments.kinds import Kind, check_kind, detect
from bridge.asgi.versions import Asgi2AsAsgi3
from bridge.check.asgi.drive import AsgiDrive
from bridge.check.findings import Finding, Findings
from bridge.check.kind import why
from bridge.check.places import app_modules
from bridge.check.report import AppReport, Report
from bridge.check.requests import Options, summary
from bridge.check.verdicts import advice, verdicts
from bridge.check.watching.logs import Logs
from bridge.check.wsgi.drive import WsgiDrive
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
    if isinstance(app, Dispatcher):
        for route in app.routes:
            prefix = root if route.keep_prefix else root + route.prefix
            at = f"{name} at {route.host}{route.prefix or '/'}"
            yield from subjects(route.app, at, route.kind, prefix)
    elif isinstance(app, Fallback):
        for number, each in enumerate(app.apps, 1):
            yield from subjects(each, f"app {number} of {name}", None, root)
    elif isinstance(app, WsgiToAsgi):
        yield Subject(f"{name} (in WsgiToAsgi)", app.app, "wsgi", root)
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
    modules = app_modules(known)
    apps = []
    with Logs(passes_on=options.verbose) as logs:
        for subject in subjects(app, name, kind):
            apps.append(_check_one(subject, options, logs, modules))
    everything = [*found, *(each for report in apps for each in report.findings)]
    kinds = [each.kind for each in apps]
    return Report(apps, list(found), advice(command, kinds, everything, options.threads))


def _check_one(subject: Subject, options: Options, logs: Logs, modules: list[Any]) -> AppReport:
    findings = Findings()
    drive: WsgiDrive | AsgiDrive
    if subject.kind == "wsgi":
        drive = WsgiDrive(subject.app, options, findings, logs, modules, subject.root_path)
    else:
        app = as_asgi(subject.app, subject.kind)
        drive = AsgiDrive(app, options, findings, logs, subject.root_path)
    drive.run()
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
