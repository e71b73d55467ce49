"""The story of examples/ramp_django, by the commands of its README: a project goes to FastAPI."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.conftest import StartHost
from tests.support.hosts import ROOT, Command, Host
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

EXAMPLE = ROOT / "examples" / "ramp_django"
PAGE = (EXAMPLE / "README.md").read_text()
#: Each command of the README, and what it prints.
COMMANDS: dict[str, str] = dict(
    command
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.S)
    for command in re.findall(r"\$ ([^\n]*)\n((?:(?!\$ )[^\n]*\n)*)", block)
)
ENV = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
PASSWORD = "not a good one"
MANAGE = """
import json, os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
for order in json.loads(sys.argv[1]):
    execute_from_command_line(order)
"""
MODULES = {"asgi-bridge": "bridge", "gunicorn": "gunicorn"}


def argv(command: str) -> list[str]:
    """What is run for a command of the README."""
    assert command in COMMANDS, f"the README does not say {command}"
    program, *arguments = shlex.split(command)
    if program in MODULES:
        return [sys.executable, "-m", MODULES[program], *arguments]
    return [sys.executable if program == "python" else program, *arguments]


def run(folder: Path, command: str) -> str:
    """Run a command of the README, and return what it prints: what the README shows."""
    done = subprocess.run(
        argv(command),
        cwd=folder,
        env={
            **os.environ,
            **ENV,
            "BRIDGE_CONTROL_SOCKET": str(folder / "control"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    if shown := COMMANDS[command]:
        assert done.stdout == shown
    return done.stdout


def serves(folder: Path, command: str, *more: str) -> Command:
    """A server as the README starts it, on a port of its own."""
    words = [re.sub(r"127\.0\.0\.1:\d+$", "127.0.0.1:{port}", word) for word in argv(command)]
    if "bridge" in words:
        more = ("--port={port}", f"--control-socket={folder / 'control'}", *more)
    return Command(command, (*words, *more), env=ENV, cwd=folder)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, with its database and its static files."""
    folder = tmp_path_factory.mktemp("ramp") / "shop"
    unwanted = shutil.ignore_patterns("__pycache__", "*.sqlite3*", "staticfiles", "*.jsonl*")
    shutil.copytree(EXAMPLE, folder, ignore=unwanted)
    orders = [shlex.split(each)[1:] for each in COMMANDS if each.startswith("python manage.py")]
    orders[-1].append("--noinput")  # createsuperuser asks for a password
    # All in one process: each would import the project anew.
    subprocess.run(
        [sys.executable, "-c", MANAGE, json.dumps(orders)],
        cwd=folder,
        env={**os.environ, **ENV, "DJANGO_SUPERUSER_PASSWORD": PASSWORD},
        check=True,
        timeout=100,
    )
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    """The same for one test."""
    return Path(shutil.copytree(prepared, tmp_path / "shop"))


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    """A client with cookies."""
    with httpx.Client(timeout=30, trust_env=False) as made:
        yield made


def log_in(browser: httpx.Client, host: Host) -> None:
    """Log in as a person does, by the form of the admin."""
    page = host.url("/admin/login/?next=/admin/")
    browser.get(page).raise_for_status()
    form = {"username": "ada", "password": PASSWORD, **token(browser)}
    assert browser.post(page, data=form).status_code == 302
    assert "Site administration" in browser.get(host.url("/admin/")).text


def token(browser: httpx.Client) -> dict[str, str]:
    """What a form has beside its fields."""
    return {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}


def set_stock(browser: httpx.Client, host: Host, stock: int) -> None:
    """Change a book in the admin."""
    form = {"title": "Emma", "price": "12.50", "stock": stock, "note": "", **token(browser)}
    page = host.url("/admin/catalog/book/1/change/")
    assert browser.post(page, data=form).status_code == 302


# ------------------------------------------------------------- 1 and 2: on the bridge


PATHS = [
    "/", "/books/1/", "/books/1", "/books/77/", "/nowhere", "/prices.csv", "/api/books/",
    "/api/books/2/", "/api/books/9/", "/api/books.json", "/api/books/?format=api", "/api/cart/",
    "/static/catalog/style.css", "/static/admin/css/base.css", "/admin/", "/admin/login/",
]  # fmt: skip


def page(browser: httpx.Client, host: Host, path: str) -> tuple[int, dict[str, str], bytes]:
    """What a visitor gets, apart from what is new in each answer."""
    answer = browser.get(host.url(path), headers={"Host": "localhost"})
    new = {"date", "server", "set-cookie", "expires"}
    framing = {"connection", "transfer-encoding", "content-length"}
    headers = {name: value for name, value in answer.headers.items() if name not in new | framing}
    token = re.compile(rb'(csrfmiddlewaretoken" value=|csrfToken"?: )"\w{64}"')
    return answer.status_code, headers, token.sub(rb'\1""', answer.content)


def test_the_old_project_is_the_same_on_the_bridge(
    start_host: StartHost, folder: Path, browser: httpx.Client
) -> None:
    """M30: Gunicorn and the bridge send the same pages; beside them, async views and WebSockets."""
    old = start_host(serves(folder, "gunicorn shop.wsgi --bind 127.0.0.1:8001", *QUIET))
    host = start_host(serves(folder, "asgi-bridge serve live.asgi --workers 2", "--threads=2"))
    with httpx.Client(timeout=30, trust_env=False) as stranger:
        for path in PATHS:
            assert page(stranger, host, path) == page(stranger, old, path), path
    log_in(browser, host)
    # One log-in for both: it is the same project.
    assert "ada:" in browser.get(old.url("/")).text
    for path in ("/", "/admin/catalog/book/", "/api/cart/"):
        assert page(browser, host, path) == page(browser, old, path), path
    many_wait(browser, host)
    a_websocket_is_told(browser, host)
    assert "blocks a thread" not in host.log()


QUIET = ("--no-control-socket", "--log-level=warning")


def many_wait(browser: httpx.Client, host: Host) -> None:
    """40 async views wait at once, beside 2 workers with 2 threads each."""
    address = host.url("/books/1/stock/not/3")
    with ThreadPoolExecutor(40) as pool:
        waiting = [pool.submit(httpx.get, address, timeout=60) for _ in range(40)]
        set_stock(browser, host, 7)
        assert {each.result().json()["stock"] for each in waiting} == {7}


def a_websocket_is_told(browser: httpx.Client, host: Host) -> None:
    """It knows who is logged in, answers, and is told what happens in another worker."""
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(
                connect(
                    host.url("/books/1/stock", "ws"),
                    origin=host.url(""),  # type: ignore[arg-type]
                    additional_headers={"Cookie": cookies},
                    proxy=None,
                )
            )
            for _ in range(4)
        ]
        for socket in sockets:
            assert json.loads(socket.recv(timeout=30)) == {"stock": 7}
            socket.send('"how many?"')
            assert json.loads(socket.recv(timeout=30)) == {"asked": "how many?", "by": "ada"}
        set_stock(browser, host, 6)
        for socket in sockets:
            assert json.loads(socket.recv(timeout=30)) == {"stock": 6}


# ------------------------------------------------------------- 3: old and new alike


def test_a_difference_is_found_before_anybody_sees_it(start_host: StartHost, folder: Path) -> None:
    """M13, M12: the API is recorded and asked again; what differs is what the README explains."""
    command = "asgi-bridge cutover record live.asgi --to requests.jsonl"
    host = start_host(serves(folder, command))
    for line in COMMANDS:
        if line.startswith("curl"):
            method = "HEAD" if " -sI " in line else "GET"
            httpx.request(method, host.url(line.partition(":8000")[2]))
    assert host.stop() == 0
    after = [*COMMANDS].index("sed -i 's/price: Decimal/price: float/' new/main.py")
    for line in [*COMMANDS][after : after + 4]:
        run(folder, line)


# ------------------------------------------------------------- 4 to 8: the cutover


def test_the_api_moves_to_fastapi_and_back(
    start_host: StartHost, folder: Path, browser: httpx.Client
) -> None:
    """M1, M3, M10, M20, M40: over two workers, by the README's orders, with one log-in for both."""
    host = start_host(serves(folder, "asgi-bridge serve --cutover cutover.toml --workers 2"))
    eventually(lambda: host.log().count(" serves (") == 2)
    assert "books  old" in run(folder, "asgi-bridge cutover status")
    before = {path: page(browser, host, path) for path in API}
    assert sides(host) == {"old"}
    log_in(browser, host)

    run(folder, "asgi-bridge cutover set books shadow")
    the_new_app_is_asked_afterwards(folder, host)
    run(folder, "asgi-bridge cutover set books canary --share 20")
    eventually(lambda: sides(host, 0) == {"new"})
    assert sides(host, 9999) == {"old"}
    eventually(lambda: sides(host) == {"old", "new"})

    run(folder, "asgi-bridge cutover set books new")
    eventually(lambda: sides(host) == {"new"})
    for path in API:
        assert what_counts(page(browser, host, path)) == what_counts(before[path])
    run(folder, "asgi-bridge cutover set cart new")
    one_log_in(folder, browser, host)

    run(folder, "asgi-bridge cutover set books old")
    eventually(lambda: sides(host) == {"old"})
    run(folder, "asgi-bridge cutover set books new")
    the_old_api_goes(folder, browser, host)


API = ["/api/books/", "/api/books/2/", "/api/books/"]


def what_counts(page: tuple[int, dict[str, str], bytes]) -> tuple[int, str, object]:
    """The status, the type, and what the JSON says."""
    status, headers, body = page
    return status, headers["content-type"], json.loads(body)


def sides(host: Host, place: int | None = None, path: str = "/api/books/") -> set[str]:
    """Who answers twenty clients, each by its own connection; `place`: that of a canary."""
    cookies = {} if place is None else {"bridge_canary": str(place)}
    apart = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(limits=apart, trust_env=False, timeout=30) as client:
        answers = []
        for _ in range(20):
            client.cookies = httpx.Cookies(cookies)
            answers.append(client.get(host.url(path)))
    assert {each.status_code for each in answers} <= {200, 403}
    return {each.headers["x-served-by"] for each in answers}


def the_new_app_is_asked_afterwards(folder: Path, host: Host) -> None:
    """Whatever worker has answered, the copy is in the report; all of them are equal."""
    report = folder / "shadow.jsonl"
    # A worker copies from the moment on at which it has the order.
    eventually(lambda: sides(host) == {"old"} and report.exists() and copies(report) > 20)
    for path in ("/api/books/1/", "/api/books/9/"):
        httpx.head(host.url(path))
        httpx.get(host.url(path))
    eventually(lambda: report.read_text().count("/api/books/9/") == 2)
    summed = run(folder, "asgi-bridge cutover report shadow.jsonl --max-different 0")
    assert re.search(r"^books +(\d+) +\1 +0 +0 +0$", summed, re.M), summed
    status = run(folder, "asgi-bridge cutover status")
    assert re.search(r"^books +shadow +- +\d+ +0.0 % .* 0 +- +- +0$", status, re.M), status


def copies(report: Path) -> int:
    """How many copies are in a report."""
    return report.read_text().count("\n")


def cart(browser: httpx.Client, host: Host, book: int | None = None) -> tuple[str, int, object]:
    """Look at the cart, or put a book into it: who answered, and what."""
    url = host.url("/api/cart/")
    fields = {"X-CSRFToken": browser.cookies["csrftoken"], "Origin": host.url("")}
    answer = (
        browser.get(url) if book is None else browser.post(url, json={"book": book}, headers=fields)
    )
    return answer.headers["x-served-by"], answer.status_code, answer.json()


def one_log_in(folder: Path, browser: httpx.Client, host: Host) -> None:
    """Who is logged in to Django is so in FastAPI, and the cart is one; so are log-outs."""
    eventually(lambda: sides(host, path="/api/cart/") == {"new"})
    assert cart(browser, host, 1) == ("new", 201, {"user": "ada", "books": [1]})
    assert "ada: 1 in the cart" in browser.get(host.url("/")).text
    evil = {"Origin": "https://evil.example"}
    assert browser.post(host.url("/api/cart/"), json={"book": 1}, headers=evil).status_code == 403
    browser.post(host.url("/cart/"), data={"book": 2, **token(browser)})
    assert cart(browser, host) == ("new", 200, {"user": "ada", "books": [1, 2]})
    run(folder, "asgi-bridge cutover set cart old")
    eventually(lambda: sides(host, path="/api/cart/") == {"old"})
    assert cart(browser, host, 3) == ("old", 201, {"user": "ada", "books": [1, 2, 3]})
    run(folder, "asgi-bridge cutover set cart new")
    eventually(lambda: sides(host, path="/api/cart/") == {"new"})
    assert cart(browser, host) == ("new", 200, {"user": "ada", "books": [1, 2, 3]})
    assert browser.post(host.url("/admin/logout/"), data=token(browser)).status_code == 200
    assert cart(browser, host)[:2] == ("new", 403)


def the_old_api_goes(folder: Path, browser: httpx.Client, host: Host) -> None:
    """Django does not have it any more; its pages, its log-in and the WebSocket stay."""
    for command in [*COMMANDS][-3:]:
        run(folder, command)
    eventually(lambda: browser.get(host.url("/api/")).status_code == 404)
    assert sides(host) == {"new"}
    log_in(browser, host)
    assert cart(browser, host) == ("new", 200, {"user": "ada", "books": []})
    set_stock(browser, host, 7)
    a_websocket_is_told(browser, host)
    assert "Traceback" not in host.log()
