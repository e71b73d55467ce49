"""The validator around the apps of other tests would be heard if it found something."""

from __future__ import annotations

import httpx
import pytest

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.validated import complaints
from tests.support.waiting import eventually


@pytest.mark.parametrize("fault", ["status", "header", "chunk", "unread"])
def test_what_the_validator_finds_is_heard(fault: str, start_host: StartHost) -> None:
    """W11: a fault of an app is a complaint in its host's log, a good response is none."""
    host = start_host(hosts.waitress("tests.support.apps.faulty:wsgi"))
    assert httpx.get(host.url("/good")).status_code == 200
    assert not complaints(host.log())
    httpx.get(host.url(f"/{fault}"))
    assert complaints(host.log())


def test_what_the_watchdog_says_is_no_complaint(start_host: StartHost) -> None:
    """W11, R3: a call that took long is told with its stack, in which the validator may be."""
    module = "tests.support.apps.faulty"
    host = start_host(hosts.bridge(f"{module}:slow", "--runner", "inline"))
    assert httpx.get(host.url("/"), timeout=60).status_code == 200
    eventually(lambda: "turns again" in host.log())
    assert "wsgiref/validate.py" in host.log()
    assert not complaints(host.log())
