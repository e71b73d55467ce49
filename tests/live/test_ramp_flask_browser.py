"""The example `ramp_flask` in a real browser: one log-in, and two apps."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import CHROMIUM, Page, browse
from tests.support.ramp_flask import SERVE, Shop

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")

#: Over a WebSocket, what is said of the stock of an item.
STOCK = """new Promise((told, failed) => {
    const socket = new WebSocket(location.origin.replace("http", "ws") + "/stock");
    socket.onopen = () => socket.send("4");
    socket.onmessage = event => { told(event.data); socket.close(); };
    socket.onerror = failed;
})"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A browser for the tests of this module."""
    with browse() as page:
        yield page


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int) -> bytes:
    """A picture, all black."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = zlib.compress((b"\0" + b"\0" * width) * height)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", lines), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def submit(page: Page, form: str) -> None:
    """Click the button of a form."""
    page.evaluate(f"document.querySelector('{form} button').click()")


def served_by(page: Page, path: str) -> object:
    """Which side answers the browser, with its cookies."""
    return page.evaluate(f"fetch('{path}').then(told => told.headers.get('x-served-by'))")


def test_one_log_in_for_both(page: Page, tmp_path: Path) -> None:
    """M40, M3: log in on the old side, act on the new one, log out; nobody sees the seam."""
    shop = Shop(tmp_path / "ramp_flask")
    (tmp_path / "cup.png").write_bytes(png(37, 21))
    with shop.served(SERVE) as host:
        page.open(host.url("/"))
        page.evaluate("document.querySelector('[name=name]').value = 'ada'")
        page.evaluate("document.querySelector('[name=password]').value = 'lovelace'")
        submit(page, "#login")
        page.wait_for("who.textContent === 'You are ada.'")
        submit(page, "#add-4")
        page.wait_for("document.title === 'Cart' && items.textContent.includes('Spoon')")
        assert served_by(page, "/cart") == "old"
        for name in ("cart", "pictures", "stock"):
            shop.run(f"asgi-bridge cutover set {name} new")
        page.wait_for("fetch('/cart').then(told => told.headers.get('x-served-by') === 'new')")
        act_on_the_new_side(page, host.url("/"), tmp_path / "cup.png")
        page.open(host.url("/"))
        submit(page, "#logout")
        page.wait_for("who.textContent === 'You are nobody.' && document.title === 'Shop'")
        assert served_by(page, "/") == "old"
        page.open(host.url("/cart"))
        assert page.evaluate("who.textContent + items.children.length") == "You are nobody.0"
        assert served_by(page, "/cart") == "new"
        assert page.evaluate(STOCK) == "60 left for nobody"


def act_on_the_new_side(page: Page, home: str, picture: Path) -> None:
    """Use what the old side has begun: its session and its cart."""
    page.open(home)
    submit(page, "#add-2")
    page.wait_for("document.title === 'Cart' && items.textContent.includes('Tea pot')")
    assert page.evaluate("who.textContent") == "You are ada."
    assert "Spoon" in page.evaluate("items.textContent")
    assert page.evaluate(STOCK) == "60 left for ada"
    page.open(home)
    page.choose_file("#picture-1 input", picture)
    submit(page, "#picture-1")
    page.wait_for("document.querySelector('img[src=\"/pictures/1\"]')?.naturalWidth === 37")
    assert served_by(page, "/pictures/1") == "new"
