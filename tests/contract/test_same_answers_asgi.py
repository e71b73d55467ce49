"""The same ASGI apps give the same answers on every host.

Starlette and FastAPI on our server, alone and as Gunicorn's worker, and through `AsgiToWsgi`, under
`wsgiref.validate.validator` itself, on gunicorn and waitress. uvicorn, which has no code of ours,
is what the others are compared with; what is compared is told in `test_same_answers_wsgi`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.conftest import Talk
from tests.support import hosts
from tests.support.exchanges import EXCHANGES, assert_same
from tests.support.hosts import Command

APPS = ["starlette", "fastapi"]

HOSTS: dict[str, Callable[[str], Command]] = {
    "bridge": lambda app: hosts.bridge(f"{app}:asgi"),
    "bridge-gunicorn": lambda app: hosts.gunicorn(f"{app}:asgi", worker=hosts.BRIDGE_WORKER),
    "gunicorn": lambda app: hosts.gunicorn(f"{app}:wsgi"),
    "waitress": lambda app: hosts.waitress(f"{app}:wsgi"),
}


def reference(app: str) -> Command:
    """The host that has no code of ours."""
    return hosts.uvicorn(f"{app}:asgi")


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("host", HOSTS)
def test_asgi_apps_answer_the_same_on_every_host(
    host: str, app: str, exchange: str, talk: Talk
) -> None:
    """A1 A10 A20 A23 A25 A35 S10: no host, and no adapter, changes what an app says."""
    module = f"tests.support.apps.{app}_validated"
    answers = talk(HOSTS[host](module), exchange)
    assert_same(answers, talk(reference(module), exchange))
