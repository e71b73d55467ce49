"""The example `ramp_flask`: its README is followed from the first command to the last."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.support.ramp_flask import README, SERVE, Shop, side, sides
from tests.support.waiting import eventually

RECORD = "asgi-bridge cutover record old.shop:app --to requests.jsonl"
REPLAY = "asgi-bridge cutover replay requests.jsonl --cutover cutover.toml"
THREE = ("$.note (missing)", "header:location (value)", "$.price (number)")
PICTURE = b"\x89PNG\r\n\x1a\n" + b"x" * 100_000
USER = {"name": "ada", "password": "lovelace"}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "ramp_flask")


def test_both_are_asked_what_was_recorded(shop: Shop) -> None:
    """M13, M11: the differences come out as the README explains them; then none."""
    with shop.served(RECORD) as host, httpx.Client(base_url=host.url("")) as client:
        for path in ("/", "/api/items/1", "/api/items/2", "/sale", "/cart"):
            client.get(path)
        client.head("/api/items/1")
    told = shop.run(REPLAY)
    assert totals(told) == ["5", "1", "4"]
    for place in (*THREE, "status (value)"):
        assert place in told
        assert f"`{place.partition(' ')[0]}`" in README
    told = shop.run(f"{REPLAY} --new new.fixed:app --ignore numbers --max-different 0")
    assert totals(told) == ["5", "5", "0"]


def totals(told: str) -> list[str]:
    """Compared, equal, different."""
    (line,) = [line for line in told.splitlines() if line.startswith("all ")]
    return line.split()[1:4]


def test_the_story(shop: Shop) -> None:
    """M1, M3, M20-M22, M40: each step over the wire, from all old to the old route gone."""
    with shop.served(SERVE) as host, httpx.Client(base_url=host.url("")) as browser:
        use(browser, "old")
        five_percent(shop)
        a_broken_release(shop)
        for name in ("cart", "pictures", "stock"):
            assert shop.run(f"asgi-bridge cutover set {name} new") == f"{name} new\n"
        eventually(lambda: side(browser.get("/cart")) == "new")
        use(browser, "new")
        the_old_route_goes(shop)


def use(browser: httpx.Client, side_of_it: str) -> None:
    """Log in, fill the cart, upload, look at the stock, and log out; the old side has the log-in.

    All that the other side does afterwards starts from here, by the same session.
    """
    assert browser.post("/login", data=USER).status_code == 302
    answers = [browser.post("/cart/2"), browser.get("/cart")]
    assert "You are ada." in answers[1].text
    assert "Tea pot, 24.50" in answers[1].text
    answers.append(browser.post("/pictures/1", files={"picture": PICTURE}))
    assert answers[-1].status_code == 302
    answers.append(browser.get("/pictures/1"))
    assert answers[-1].content == PICTURE
    assert {side(each) for each in answers} == {side_of_it}
    cookie = {"Cookie": f"session={browser.cookies['session']}"}
    url = str(browser.base_url.join("/stock")).replace("http", "ws", 1)
    with connect(url, additional_headers=cookie, proxy=None) as socket:
        assert socket.response is not None
        assert socket.response.headers["x-served-by"] == side_of_it
        for number, said in (("4", "60 left for ada"), ("99", "0 left for ada")):
            socket.send(number)
            assert socket.recv(timeout=20) == said
    assert side(browser.post("/logout")) == "old"
    cart = browser.get("/cart")
    assert "You are nobody." in cart.text
    assert "Tea pot" not in cart.text
    assert browser.post("/pictures/1", files={"picture": PICTURE}).status_code == 401


def five_percent(shop: Shop) -> None:
    """Some clients get the release that is mended, and all get answers."""
    shop.run("sed -i s/new.first/new.fixed/ cutover.toml")
    shop.run("asgi-bridge ctl reload")
    told = shop.run("asgi-bridge cutover set items canary --share 5")
    assert told == "items canary 5 %\n"
    answers = shop.ask(400)
    while not sides(answers)["new"]:
        answers += shop.ask(100)
    assert {answer.status for answer in answers} == {200}
    assert sides(answers)["new"] < len(answers) / 5
    assert "canary  5 %" in shop.run("asgi-bridge cutover status")


def a_broken_release(shop: Shop) -> None:
    """It is taken back within one window, and no client sees an error; the next one stays."""
    shop.run("sed -i s/new.fixed/new.broken/ cutover.toml")
    shop.run("asgi-bridge ctl reload")
    answers = shop.ask(400)
    while "everything goes to the old app" not in shop.host.log():
        answers += shop.ask(100)
    assert {answer.status for answer in answers} == {200}
    assert sides(shop.ask(100)) == {"old": 100}
    assert "5 % were on the new one: in the last 60 s" in shop.host.log()
    assert "route items: everything goes to the old app, 5 % were on the new one: in the" in README
    shop.run("sed -i s/new.broken/new.fixed/ cutover.toml")
    shop.run("asgi-bridge ctl reload")
    shop.run("asgi-bridge cutover set items canary --share 5")
    eventually(lambda: sides(shop.ask(20))["new"])


def the_old_route_goes(shop: Shop) -> None:
    """The new shop answers all of it, also if the old one no longer could."""
    shop.run("asgi-bridge cutover set items new")
    eventually(lambda: sides(shop.ask(20)) == {"new": 20})
    old = shop.folder / "old"
    shop.run("rm old/api.py")
    shop.run("sed -i /api/d old/shop.py")
    assert "api" not in (old / "shop.py").read_text()
    shop.run("asgi-bridge ctl reload")
    answers = shop.ask(20)
    assert {answer.status for answer in answers} == {200}
    assert sides(answers) == {"new": 20}
    assert httpx.get(shop.host.url("/")).status_code == 200
