"""A Django project: its hosts, its connections to databases, its middleware."""

from __future__ import annotations

import sys
from typing import Any

from bridge.check.findings import Findings
from bridge.check.places import place_of, place_of_name
from bridge.loops.watchdog.stack import Place


def settings() -> Any:
    """Return the project's settings; None if none are loaded."""
    conf = sys.modules.get("django.conf")
    found = getattr(conf, "settings", None)
    return found if found is not None and found.configured else None


def allowed_host() -> str | None:
    """Return a host that the project takes, if it does not take ``localhost``."""
    project = settings()
    hosts = list(getattr(project, "ALLOWED_HOSTS", None) or ())
    if project is None or not hosts or {"*", "localhost", ".localhost"} & set(hosts):
        return None
    return str(hosts[0]).lstrip(".")


def look_at_django(findings: Findings, *, as_asgi: bool) -> None:
    """Note what its settings say; `as_asgi`: it is served as ASGI."""
    project = settings()
    if project is None:
        return
    # Without URLs it answers nothing: another app uses Django's models alone.
    serves = bool(getattr(project, "ROOT_URLCONF", None))
    if serves and not project.DEBUG and not project.ALLOWED_HOSTS:
        findings.add("no-hosts", _place("ALLOWED_HOSTS"))
    for alias, database in (getattr(project, "DATABASES", None) or {}).items():
        age = database.get("CONN_MAX_AGE", 0)
        if age != 0:
            said = "None" if age is None else f"{age} s"
            findings.add("django-connections", _place("DATABASES"), alias=repr(alias), age=said)
    if as_asgi and serves:
        for name in project.MIDDLEWARE:
            middleware = _loaded(name)
            if middleware is not None and not getattr(middleware, "async_capable", False):
                findings.add("sync-middleware", place_of(middleware), name=name)


def _loaded(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(sys.modules.get(module), attribute, None)


def _place(setting: str) -> Place | None:
    """Return where the settings module sets it."""
    module = sys.modules.get(str(getattr(settings(), "SETTINGS_MODULE", "")))
    return None if module is None else place_of_name(module, setting)
