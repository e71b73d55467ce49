"""Check one of the awkward apps in this process, as `asgi-bridge check` does."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from bridge.check.findings import Finding
from bridge.check.report import Report
from bridge.check.requests import Options
from bridge.check.run import check

#: Where they are.
AWKWARD = "tests.support.apps.awkward"


def checked(target: str, **options: Any) -> Report:
    """The report about ``module:attribute`` of the awkward apps."""
    module, _, attribute = target.partition(":")
    app = getattr(importlib.import_module(f"{AWKWARD}.{module}"), attribute)
    return checked_app(app, target, f"{AWKWARD}.{module}", **options)


def checked_app(app: Any, name: str = "shop:app", module: str = "", **options: Any) -> Report:
    """The report about `app`; its own code is in `module`."""
    known = [each for each in sys.modules if each != module]
    command = f"asgi-bridge serve {name}"
    return check(app, name, command=command, options=Options(**options), known=known)


def ids(report: Report) -> set[str]:
    """What was found, but for what is in order."""
    return {each.id for each in report.all_findings if each.severity != "ok"}


def the(report: Report, id: str) -> Finding:
    """The one finding of this id."""
    (finding,) = [each for each in report.all_findings if each.id == id]
    return finding


def at(finding: Finding) -> str:
    """The function of its first place."""
    return finding.places[0].function
