"""The demo, in a real browser: raise the share, break the new app, see it taken back."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.browser import CHROMIUM, browse
from tests.support.hosts import ROOT, Command, Host, start
from tests.support.waiting import eventually

RUN = str(ROOT / "examples" / "demo" / "run.py")
#: It is sure sooner if the broken app fails every second request.
DEMO = Command("demo", (sys.executable, RUN, "--port={port}", "--failing=50", "--minutes=2"))


@pytest.fixture(scope="module")
def demo() -> Iterator[Host]:
    """The demo, as `scripts/demo` runs it."""
    with start(DEMO) as host:
        eventually(lambda: "Ctrl+C ends it" in host.log())
        yield host


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")
def test_the_share_rises_and_a_broken_app_is_taken_back(demo: Host) -> None:
    """M3, M21, M22: all by buttons of the page; no visitor sees an error."""
    with browse() as page:
        page.open(demo.url("/demo/"))
        page.wait_for("document.querySelector('#by-first').textContent === 'X-Served-By: old'")
        page.wait_for("!raise.disabled")
        page.evaluate("document.querySelector('#route-shop [data-share=\"50\"]').click()")
        page.wait_for("document.querySelector('#by-first').textContent === 'X-Served-By: new'")
        page.wait_for("document.querySelector('#by-last').textContent === 'X-Served-By: old'")
        page.wait_for("raise.textContent === 'Raise the share to 5 %'")  # of the others
        page.evaluate("document.getElementById('break').click()")
        page.wait_for("document.getElementById('break').textContent === 'Mend the new app'")
        page.wait_for("document.querySelectorAll('.chip.breaks').length === 1")
        said = page.evaluate("document.querySelector('#route-shop .said').textContent.trim()")
        assert re.match(r"The gate took it back: .* requests failed in the new app", said)
        page.wait_for("document.querySelector('#by-first').textContent === 'X-Served-By: old'")
        assert page.evaluate("answers.textContent !== '0' && errors.textContent === '0'")


def test_no_other_page_can_give_an_order(demo: Host) -> None:
    """An order needs the token of the page; the page is for this machine, and in no frame."""
    order: dict[str, object] = {"route": "items", "share": 5}
    assert httpx.post(demo.url("/demo/orders"), json=order).status_code == 403
    page = httpx.get(demo.url("/demo/"))
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    (token,) = re.findall(r'name="token" content="(\S+)"', page.text)
    for host, share, status in (("evil.example", 5, 403), ("127.0.0.1", 6, 400)):
        headers = {"Host": host, "X-Demo-Token": token}
        order["share"] = share
        answer = httpx.post(demo.url("/demo/orders"), json=order, headers=headers)
        assert answer.status_code == status


def test_nothing_is_left_of_it(demo: Host) -> None:
    """A signal ends it, by exit code 0: no server, and no folder."""
    (control,) = re.findall(r"--socket (\S+)", demo.log())
    assert Path(control).exists()
    assert demo.stop() == 0
    assert not Path(control).parent.exists()
    with pytest.raises(ConnectionError):
        demo.connect()
