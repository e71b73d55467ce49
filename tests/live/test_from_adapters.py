"""The guides from other adapters: what differs, their arguments, and their defaults."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import a2wsgi
import asgiref.wsgi
import httpx
import pytest

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.arguments.checks import WSGI_DEFAULTS
from tests.support import hosts
from tests.support.apps import adapters
from tests.support.hosts import ROOT, Host
from tests.support.pages import table
from tests.support.waiting import eventually

FROM = ROOT / "docs" / "howto" / "from"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """uvicorn, with every adapter below its name."""
    with hosts.start(hosts.uvicorn("tests.support.apps.adapters:app")) as running:
        yield running
        running.kill()  # a thread that is lost would not let it end


# ------------------------------------------------------------- what differs


def cookie(url: str, said: str) -> str:
    pair = [("Cookie", "a=1"), ("Cookie", "b=2")]
    return f"`{httpx.get(f'{url}/cookie', headers=pair).text}`"


def role(url: str, said: str) -> str:
    answer = httpx.get(f"{url}/role", headers={"X_Role": "admin"}).text
    return "arrives as `HTTP_X_ROLE`" if answer == "admin" else "does not arrive"


def upload(url: str, said: str) -> str:
    answer = httpx.post(f"{url}-flask/", content=iter([b"half ", b"and half"]))
    return "arrives" if answer.text == "13" else "is lost"


def late(url: str, said: str) -> str:
    status = httpx.get(f"{url}/late").status_code
    return {200: "is too late", 404: "replaces the head"}[status]


def write(url: str, said: str) -> str:
    try:
        answer = httpx.get(f"{url}/write")
    except httpx.RemoteProtocolError:  # the head has left before the app failed
        return "fails"
    return "works" if answer.text == "written" else "fails"


def close(url: str, said: str) -> str:
    assert httpx.get(f"{url}/close").text == "body"
    if said == "is called":
        eventually(lambda: httpx.get(f"{url}/closed").text == "True")
    return "is called" if httpx.get(f"{url}/closed").text == "True" else "is never called"


def meet(url: str, said: str) -> str:
    patience = 1 if said == "one at a time" else 30
    with ThreadPoolExecutor(2) as clients:
        asked = [f"{url}/meet?{patience}"] * 2
        answers = {each.text for each in clients.map(lambda it: httpx.get(it, timeout=60), asked)}
    return "side by side" if answers == {"met"} else "one at a time"


def leave(url: str, said: str) -> str:
    with httpx.stream("GET", f"{url}-one/stream") as response:
        next(response.iter_raw())
    try:
        patience = 2 if "lost" in said else 30
        assert httpx.get(f"{url}-one/", timeout=patience).text == "hello"
    except httpx.TimeoutException:
        return "its thread is lost for ever"
    return "its thread is free again"


ROWS: dict[str, Callable[[str, str], str]] = {
    "two `Cookie` fields arrive as": cookie,
    "the field `X_Role` of a client": role,
    "an upload of unknown length (chunked), in Flask": upload,
    "`start_response` with `exc_info`, before any body": late,
    "`write()` of `start_response`": write,
    "`close()` of the body": close,
    "requests that wait at the same time": meet,
    "a client leaves in the middle of a stream": leave,
}


@pytest.mark.parametrize("name", ["a2wsgi", "asgiref", "starlette"])
def test_what_differs(host: Host, name: str) -> None:
    """W8, W24, W30, W32, W37, W40, W52: each row of the page, asked of theirs and of ours."""
    page = table(FROM / f"{name}.md", "What differs")
    assert len(page) >= 7
    found = [
        [row, ROWS[row](host.url(f"/{name}"), theirs), ROWS[row](host.url("/bridge"), ours)]
        for row, theirs, ours in page
    ]
    assert found == page


# ------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("a2wsgi", a2wsgi.WSGIMiddleware, WsgiToAsgi),
        ("a2wsgi", a2wsgi.ASGIMiddleware, AsgiToWsgi),
        ("asgiref", asgiref.wsgi.WsgiToAsgi, WsgiToAsgi),
        ("starlette", adapters.WSGIMiddleware, WsgiToAsgi),
    ],
)
def test_every_argument_is_on_the_page(name: str, theirs: Any, ours: Any) -> None:
    """S63: with both defaults, read from the classes."""
    rows = {row[0]: row[1:] for row in table(FROM / f"{name}.md", theirs.__name__)}
    arguments = inspect.signature(theirs).parameters.values()
    assert rows.keys() == {f"`{each.name}`" for each in arguments}
    for each in arguments:
        default, here, default_here = rows[f"`{each.name}`"]
        assert default == written(each.default), each.name
        same = re.match(r"`(\w+)`", here)
        if same:
            argument = inspect.signature(ours).parameters[same[1]]
            assert default_here == written(WSGI_DEFAULTS.get(same[1], argument.default))
        else:
            assert default_here == ""
            for advised in re.findall(r"`(\w+)`", here):
                assert advised in inspect.signature(ours).parameters


def written(default: Any) -> str:
    """A default as it stands on a page."""
    return "" if default in (None, inspect.Parameter.empty) else f"`{default}`"
