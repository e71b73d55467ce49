"""The example `ramp_flask`: its README is followed from the first command to the last."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.support.ramp_flask import README, SERVE, Shop, side, sides
from tests.support.waiting import eventually

RECORD = "asgi-bridge cutover record old.shop:app --to requests.jsonl --port 8001"
REPLAY = (
    "asgi-bridge cutover replay requests.jsonl --cutover cutover.toml --new new.fixed:app "
    "--max-different 0"
)
REPORT = "asgi-bridge cutover report shadow.jsonl"
ALLOW = "sed -i 's/^# ignore/ignore/' cutover.toml"
PICTURE = b"\x89PNG\r\n\x1a\n" + b"x" * 100_000
USER = {"name": "ada", "password": "lovelace"}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "ramp_flask")


def test_what_was_recorded_proves_the_next_release(shop: Shop) -> None:
    """M13, M11: of the differences the price is left, which the file may allow; then none."""
    with shop.served(RECORD) as host, httpx.Client(base_url=host.url("")) as client:
        for path in ("/", "/api/items/1", "/api/items/2", "/sale", "/cart"):
            client.get(path)
        client.head("/api/items/1")
    told = shop.run(REPLAY, code=1)
    assert totals(told) == ["5", "3", "2"]
    assert "2 x $.price (number)" in told
    shop.run(ALLOW)
    assert totals(shop.run(REPLAY)) == ["5", "5", "0"]


def totals(told: str) -> list[str]:
    """Compared, equal, different."""
    (line,) = [line for line in told.splitlines() if line.startswith("all ")]
    return line.split()[1:4]


def test_the_story(shop: Shop) -> None:
    """M1, M3, M10, M20-M22, M40: each step, by two workers, from all old to the old route gone."""
    with shop.served(SERVE) as host, httpx.Client(base_url=host.url("")) as browser:
        shadow(shop, browser)
        five_percent(shop)
        a_broken_release(shop)
        for name in ("cart", "pictures", "stock"):
            assert f"{name} new" in shop.run(f"asgi-bridge cutover set {name} new")
        use(browser, "new")
        the_old_route_goes(shop)


def shadow(shop: Shop, browser: httpx.Client) -> None:
    """Nobody sees the new side, and the report has what it would have answered."""
    for name in ("items", "cart", "pictures"):
        assert "2 of 2 workers" in shop.run(f"asgi-bridge cutover set {name} shadow")
    use(browser, "old")
    ask_for_items(shop, browser, 10)
    told = shop.run(REPORT)
    assert "POST" not in (shop.folder / "shadow.jsonl").read_text()
    for kind in ("status (value)", "$.note (missing)", "header:location", "$.price (number)"):
        assert f" {kind}" in told
        assert f"| `{kind.partition(' ')[0]}`" in README
    assert "\ncart " in told
    assert "\ncart:" not in told  # there is nothing to say of it
    for line in (ALLOW, "sed -i s/new.first/new.fixed/ cutover.toml", "asgi-bridge ctl reload"):
        shop.run(line)
    shop.run("rm shadow.jsonl")
    with httpx.Client(base_url=browser.base_url) as another:  # no connection to a worker before
        ask_for_items(shop, another, 7)
    shop.run(f"{REPORT} --max-different 0")


def ask_for_items(shop: Shop, browser: httpx.Client, most: int) -> None:
    """Ask for what differs, one after the other, until the report has so many lines."""
    asked = [browser.get(f"/api/items/{number}") for number in (1, 2, 3, 4)]
    asked += [browser.get("/sale"), browser.head("/api/items/1"), browser.get("/cart")]
    assert {side(answer) for answer in asked} == {"old"}
    report = shop.folder / "shadow.jsonl"
    eventually(lambda: report.exists() and report.read_text().count("\n") >= most)


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
    told = shop.run("asgi-bridge cutover set items canary --share 5")
    assert told == "items canary 5 % (2 of 2 workers)\n"
    answers = shop.ask(400)
    while not sides(answers)["new"]:
        answers += shop.ask(100)
    assert {answer.status for answer in answers} == {200}
    assert sides(answers)["new"] < len(answers) / 5
    assert "canary  5 %" in shop.run("asgi-bridge cutover status")


def a_broken_release(shop: Shop) -> None:
    """It is taken back within one window, in both workers, and no client sees an error."""
    shop.run("sed -i s/new.fixed/new.broken/ cutover.toml")
    shop.run("asgi-bridge ctl reload")
    answers = shop.ask(400)
    while "everything goes to the old app" not in shop.host.log():
        answers += shop.ask(100)
    assert {answer.status for answer in answers} == {200}
    assert sides(shop.ask(100)) == {"old": 100}
    assert "5 % were on the new one: in the last 60 s" in shop.host.log()
    assert "route items: everything goes to the old app, 5 % were on the new one: in the" in README
    assert 'mode = "old"\nignore' in (shop.folder / "cutover.toml").read_text()
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
