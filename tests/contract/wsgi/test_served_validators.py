"""wsgiref's validator and Werkzeug's lint middleware find nothing, however the app is served."""

from __future__ import annotations

import pytest

from tests.conftest import StartHost
from tests.contract.wsgi.conftest import WAYS
from tests.support import raw
from tests.support.hosts import Command
from tests.support.validated import complaints

APPS = "tests.support.apps.wsgi_linted"


def served(way: str, validator: str) -> Command:
    """The linted app, served this way."""
    command = WAYS[way](f"{validator}_asgi")
    argv = (arg.replace("tests.support.apps.wsgi_rules", APPS) for arg in command.argv)
    return Command(command.name, tuple(argv))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("validator", ["std", "lint"])
def test_validators(way: str, validator: str, shared_host: StartHost) -> None:
    """W11: nothing is found for any method, any kind of response, with a body and without."""
    host = shared_host(served(way, validator))
    said = host.log_size()
    with raw.Client(host.connect()) as client:
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            for path in ("/pieces", "/sized", "/none", "/write", "/caf%C3%A9?x=%20"):
                if method == "HEAD" and path == "/write":
                    continue  # a body for HEAD is what the validators object to
                for body in (b"", b"line\nmore than ten bytes\nend"):
                    client.send(raw.request(path, method=method, body=body))
                    response = client.response(method)
                    assert response.status in (200, 204), (method, path, response)
                    if method not in ("HEAD",) and path != "/none":
                        assert response.body.endswith(body)
        client.send(raw.request("*", method="OPTIONS"))
        assert client.response().status == 200
    assert not complaints(host.log(said))
    assert "Traceback" not in host.log(said)
