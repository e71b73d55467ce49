"""A real browser uses the mixed example."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.browser import CHROMIUM, Page, browse
from tests.support.hosts import Host

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A browser for the tests of this module."""
    with browse() as page:
        yield page


@pytest.fixture
def mixed(shared_host: StartHost) -> Host:
    """The mixed example on our server, which need not wait for its endless events to end."""
    return shared_host(
        hosts.bridge("--app-dir=examples", "mixed:app", "--timeout-graceful-shutdown=1")
    )


def test_a_browser_loads_both_apps(page: Page, mixed: Host) -> None:
    """D2 S1: the old app's page with its cookie, and by a link of it the new app's."""
    page.open(mixed.url("/"))
    assert page.evaluate("document.title") == "Guestbook"
    assert page.evaluate("visits.textContent") == "This is visit 1."
    page.open(mixed.url("/?again"))
    assert page.evaluate("visits.textContent") == "This is visit 2."
    page.evaluate("document.querySelector('a[href=\"/api\"]').click()")
    page.wait_for("document.title === 'Live'")
    assert page.evaluate("location.pathname") == "/api/"


def test_a_browser_posts_a_form(page: Page, mixed: Host) -> None:
    """W1 W24: the form is sent, the redirect followed, the entry shown."""
    page.open(mixed.url("/"))
    page.evaluate("document.querySelector('input[name=entry]').value = 'Grüße & <b>'")
    page.evaluate("document.querySelector('form[action=\"/sign\"] button').click()")
    page.wait_for("document.querySelector('#entries')?.textContent.includes('Grüße & <b>')")


def test_a_browser_uploads_a_file(page: Page, mixed: Host, tmp_path: Path) -> None:
    """W20 W24: 5 MB from a form arrive whole."""
    content = b"0123456789abcdef" * 320_000
    file = tmp_path / "large.bin"
    file.write_bytes(content)
    page.open(mixed.url("/"))
    page.choose_file("input[type=file]", file)
    page.evaluate("document.querySelector('form[action=\"/upload\"] button').click()")
    told = page.wait_for("document.querySelector('#uploaded')?.textContent")
    assert told == f"large.bin: {len(content)} bytes, {hashlib.sha256(content).hexdigest()}"


def test_a_browser_gets_events(page: Page, mixed: Host) -> None:
    """S12: an EventSource gets each event when it is sent."""
    page.open(mixed.url("/api/"))
    first = page.wait_for("/^\\d\\d:\\d\\d:\\d\\d$/.test(tick.textContent) && tick.textContent")
    page.wait_for(f"tick.textContent !== {first!r}")


def test_a_browser_talks_over_a_websocket(page: Page, mixed: Host) -> None:
    """D4 S20: what is said over the WebSocket comes back."""
    page.open(mixed.url("/api/"))
    page.wait_for("socket.readyState !== WebSocket.CONNECTING")
    assert page.evaluate("socket.readyState === WebSocket.OPEN")
    for word in ("hello", "Grüße"):
        page.evaluate(f"say.text.value = {word!r}")
        page.evaluate("say.querySelector('button').click()")
        page.wait_for(f"heard.textContent === {word!r}")


@pytest.mark.parametrize("path", ["/", "/api"])
def test_the_demo_is_readable_on_a_phone(page: Page, mixed: Host, path: str) -> None:
    """D2: both pages are laid out for the width of the screen, and say what they show."""
    page.emulate_phone()
    try:
        page.open(mixed.url(path))
        assert page.evaluate("innerWidth") == 390
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate("parseFloat(getComputedStyle(about).fontSize)") >= 16
        said = page.evaluate("about.textContent")
    finally:
        page.emulate_phone(0, 0)
    assert "Two web apps share this site, in one process" in said.replace("\n", " ")
    assert f"from the {'new' if path == '/api' else 'old'} app" in said.replace("\n", " ")
