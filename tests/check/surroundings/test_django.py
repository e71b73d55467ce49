"""What a Django project's settings say (M51)."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bridge.check.findings import Findings
from bridge.check.surroundings.django import allowed_host, look_at_django


class SyncOnly:
    async_capable = False


class Both:
    async_capable = True


def use(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    """Have a project with these settings."""
    values = {
        "configured": True,
        "DEBUG": False,
        "ALLOWED_HOSTS": ["*"],
        "DATABASES": {},
        "MIDDLEWARE": [],
        "ROOT_URLCONF": "site.urls",
        "SETTINGS_MODULE": __name__,
    }
    conf = ModuleType("django.conf")
    conf.settings = SimpleNamespace(**{**values, **settings})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "django.conf", conf)


def found(*, as_asgi: bool = True) -> list[str]:
    findings = Findings()
    look_at_django(findings, as_asgi=as_asgi)
    return [each.text for each in findings]


def test_without_django(monkeypatch: pytest.MonkeyPatch) -> None:
    """M51: nothing is told, nor if it is loaded and not configured."""
    monkeypatch.delitem(sys.modules, "django.conf", raising=False)
    assert found() == []
    use(monkeypatch, configured=False)
    assert (found(), allowed_host()) == ([], None)


def test_an_app_that_uses_the_models_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """M51: its hosts and middleware are not those of Django, its connections are."""
    middleware = [f"{__name__}.SyncOnly"]
    databases = {"default": {"CONN_MAX_AGE": 60}}
    use(monkeypatch, ALLOWED_HOSTS=[], MIDDLEWARE=middleware, DATABASES=databases, ROOT_URLCONF="")
    (text,) = found()
    assert "60 s" in text


@pytest.mark.parametrize(
    ("hosts", "host"),
    [
        (["*"], None),
        (["localhost", "shop.example"], None),
        (["shop.example"], "shop.example"),
        ([".shop.example"], "shop.example"),
        ([], None),
    ],
)
def test_a_host_that_it_takes(
    monkeypatch: pytest.MonkeyPatch, hosts: list[str], host: str | None
) -> None:
    """M51: requests name it, so that the project answers them."""
    use(monkeypatch, ALLOWED_HOSTS=hosts)
    assert allowed_host() == host


def test_settings_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """M51: hosts, connections that are kept, and middleware that knows no async."""
    use(monkeypatch, ALLOWED_HOSTS=[])
    assert found() == [
        "Django answers every request with 400: ALLOWED_HOSTS is empty, and DEBUG is off"
    ]
    use(monkeypatch, DATABASES={"default": {"CONN_MAX_AGE": 60}, "other": {"CONN_MAX_AGE": None}})
    assert [each.partition(": ")[2] for each in found()] == [
        "CONN_MAX_AGE of 'default' is 60 s",
        "CONN_MAX_AGE of 'other' is None",
    ]
    use(monkeypatch, MIDDLEWARE=[f"{__name__}.SyncOnly", f"{__name__}.Both", "not.loaded"])
    assert found(as_asgi=False) == []
    (said,) = found()
    assert said.startswith(f"middleware {__name__}.SyncOnly is synchronous")
