"""Behind nginx, as the how-to prints it: its command and its configuration, tried for real."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support import hosts
from tests.support.hosts import ROOT, Command, Host
from tests.support.waiting import eventually

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
PAGE = (ROOT / "docs" / "howto" / "behind-a-proxy.md").read_text()
SOCKET = "/run/shop.sock"

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs Debian's package nginx")

#: Tells what it sees, takes a body, streams, and echoes.
SHOP = """
import asyncio

from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute


async def seen(request):
    return JSONResponse({
        "url": str(request.url),
        "client": request.client.host,
        "connection": request.headers.get("connection"),
        "upgrade": request.headers.get("upgrade"),
    })


async def upload(request):
    return JSONResponse(len(await request.body()))


async def stream(request):
    async def pieces():
        for number in range(3):
            yield f"data: {number}\\n\\n"
        await gate.wait()
        yield "data: end\\n\\n"

    fields = {"X-Accel-Buffering": "no"}
    return StreamingResponse(pieces(), media_type="text/event-stream", headers=fields)


async def go_on(request):
    gate.set()
    return JSONResponse(None)


async def echo(ws):
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(text)


gate = asyncio.Event()
app = Starlette(routes=[
    Route("/seen", seen), Route("/upload", upload, methods=["POST"]), Route("/stream", stream),
    Route("/go-on", go_on), WebSocketRoute("/echo", echo),
])
"""

#: What stands around a file of conf.d.
AROUND = """
daemon off;
pid FOLDER/nginx.pid;
error_log stderr warn;
USER
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
CONF
}
"""


def server_command() -> list[str]:
    """The command of the how-to that serves on the Unix socket."""
    (line,) = re.findall(rf"^\$ (asgi-bridge serve .*{SOCKET}.*)$", PAGE, re.M)
    program, *arguments = shlex.split(line)
    assert program == "asgi-bridge"
    return [sys.executable, "-m", "bridge", *arguments]


def configuration(folder: Path) -> str:
    """The how-to's file with a port (PORT) and a socket of the test's own, and what is around."""
    (block,) = re.findall(r"^```nginx\n(.*?)^```$", PAGE, re.M | re.S)
    assert block.count("listen 80;") == 1
    assert block.count(f"unix:{SOCKET};") == 1
    block = block.replace("listen 80;", "listen 127.0.0.1:PORT;")
    block = block.replace(SOCKET, str(folder / "shop.sock"))
    user = "user root root;" if os.getuid() == 0 else ""
    return AROUND.replace("USER", user).replace("CONF", block).replace("FOLDER", str(folder))


def takes_connections(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture(scope="module")
def nginx() -> Iterator[Host]:
    """nginx, and our server behind it."""
    with tempfile.TemporaryDirectory(prefix="shop-") as name:
        folder = Path(name)
        (folder / "shop.py").write_text(SHOP)
        (folder / "template.conf").write_text(configuration(folder))
        argv = [word.replace(SOCKET, str(folder / "shop.sock")) for word in server_command()]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([name, str(ROOT)])}
        server = subprocess.Popen([*argv, "--no-access-log"], cwd=folder, env=env)
        try:
            eventually(lambda: takes_connections(folder / "shop.sock"))
            line = (
                f"sed s/PORT/{{port}}/ {folder}/template.conf > {folder}/nginx.conf && "
                f"exec {NGINX} -p {folder} -e stderr -c {folder}/nginx.conf"
            )
            with hosts.start(Command("nginx", ("bash", "-c", line), cwd=folder)) as host:
                yield host
        finally:
            server.terminate()
            assert server.wait(30) == 0


def test_the_app_sees_the_client_and_its_url(nginx: Host) -> None:
    """S32: the client's address, and the Host with its port."""
    seen = httpx.get(nginx.url("/seen?a=b")).json()
    assert seen["url"] == nginx.url("/seen?a=b")
    assert seen["client"] == "127.0.0.1"
    assert (seen["connection"], seen["upgrade"]) == (None, None)


def test_what_a_client_claims_of_the_scheme_is_overwritten(nginx: Host) -> None:
    """S32: neither family of fields comes through as the client wrote it."""
    for fields in (
        {"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"},
        {"Forwarded": "proto=https;for=192.0.2.1"},
    ):
        seen = httpx.get(nginx.url("/seen"), headers=fields).json()
        assert seen["url"] == nginx.url("/seen")


def test_a_websocket_through_nginx(nginx: Host) -> None:
    """S20: it opens, both sides speak, and the close arrives."""
    with connect(nginx.url("/echo", "ws"), proxy=None) as ws:
        for text in ("hello", "x" * 100_000):
            ws.send(text)
            assert ws.recv(20) == text
    assert ws.close_code == 1000
    with pytest.raises(ConnectionClosed):
        ws.recv(1)


def test_requests_beside_websockets(nginx: Host) -> None:
    """S1: many requests over nginx's own few connections, with bodies."""
    with connect(nginx.url("/echo", "ws"), proxy=None) as ws, httpx.Client() as client:
        for size in (0, 1, 500_000):
            assert client.post(nginx.url("/upload"), content=b"x" * size).json() == size
        ws.send("still here")
        assert ws.recv(20) == "still here"


def test_a_stream_is_not_held_back(nginx: Host) -> None:
    """W39: pieces come while the app goes on, as its response asks nginx for."""
    with httpx.stream("GET", nginx.url("/stream"), timeout=30) as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(5)] == ["data: 0", "", "data: 1", "", "data: 2"]
        httpx.get(nginx.url("/go-on"))
        assert [line for line in lines if line] == ["data: end"]
