"""One log-in for an old app and a new one, as the how-to prints them: tried for real."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.hosts import ROOT, Command, Host

PAGE = (ROOT / "docs" / "howto" / "share-a-login.md").read_text()


def block(first: str) -> str:
    """The code on the page that begins with these words."""
    found = re.search(rf"^```python\n({re.escape(first)}.*?)^```$", PAGE, re.M | re.S)
    assert found, f"the page has no code that begins with {first!r}"
    return found[1]


FLASK = {
    "old.py": block("from flask import Flask"),
    "new.py": block("from bridge.sessions import FlaskSession"),
    "shop.py": block("from bridge import Dispatcher\n\nfrom new"),
}

SERVERS = {
    "bridge": hosts.bridge("shop:app", "--app-dir={folder}"),
    "uvicorn": hosts.uvicorn("shop:app", "--app-dir={folder}"),
}


@pytest.fixture(params=SERVERS)
def flask_shop(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    """The Flask app and the FastAPI app of the page, on one server."""
    command = SERVERS[request.param]
    return shared_host(Command(command.name, command.argv, files=FLASK))


def test_a_log_in_to_flask_is_one_to_fastapi(flask_shop: Host) -> None:
    """M40: log in on the old side, act on the new one, log out there, and the old one knows."""
    with httpx.Client(base_url=flask_shop.url(""), follow_redirects=True) as browser:
        assert browser.post("/api/cart/1").status_code == 401
        assert "set-cookie" not in browser.get("/").headers
        page = browser.post("/login", data={"user": "ada"})
        assert page.text == "ada has 0 in the cart"
        assert browser.post("/api/cart/1").json() == {"user": "ada", "cart": [1]}
        assert browser.post("/api/cart/2").json() == {"user": "ada", "cart": [1, 2]}
        assert browser.get("/").text == "ada has 2 in the cart"
        out = browser.post("/api/logout")
        assert out.headers["set-cookie"].startswith("session=; Expires=Thu, 01 Jan 1970")
        assert not browser.cookies
        assert browser.get("/").text == "nobody has 0 in the cart"
        assert browser.post("/api/cart/3").status_code == 401


def test_both_sides_send_the_same_flags(flask_shop: Host) -> None:
    """M40: name and attributes of the cookie do not depend on who wrote it; nor does Vary."""
    with httpx.Client(base_url=flask_shop.url("")) as browser:
        old = browser.post("/login", data={"user": "ada"})
        new = browser.post("/api/cart/1")
        flags = [re.sub("=[^;]*", "=", each.headers["set-cookie"], count=1) for each in (old, new)]
        assert flags == ["session=; HttpOnly; Path=/"] * 2
        assert old.headers["vary"] == new.headers["vary"] == "Cookie"
        old, new = browser.post("/logout"), browser.post("/api/logout")
        assert old.headers["set-cookie"].startswith("session=; Expires=Thu, 01 Jan 1970")


def test_a_forged_cookie_logs_nobody_in(flask_shop: Host) -> None:
    """M40: neither side takes it, and neither fails."""
    with httpx.Client(base_url=flask_shop.url("")) as browser:
        good = browser.post("/login", data={"user": "ada"}).cookies["session"]
    payload, rest = good.split(".", 1)
    forged = [good[:-1], f"{payload}x.{rest}", payload, f"{payload}.", "é", '"\\000"', "x" * 5000]
    for cookie in forged:
        fields = {"Cookie": f"session={cookie}".encode("latin-1")}
        with httpx.Client(base_url=flask_shop.url(""), headers=fields) as stranger:
            assert stranger.post("/api/cart/1").status_code == 401
            if cookie.isascii():  # Flask itself fails at others
                assert stranger.get("/").text == "nobody has 0 in the cart"
