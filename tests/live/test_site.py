"""The site as it was built last, in a real browser; `scripts/docs --check` builds it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.browser import CHROMIUM, Page, browse
from tests.support.hosts import ROOT

SITE = ROOT / "build" / "site" / "html"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.glob("**/*.html"))
#: Show the text of each page in the place of the first: what is wider than the page, and cannot
#: be moved on its own. One page after the other, with all its scripts, would take many seconds.
TOO_WIDE = """
const room = document.documentElement.clientWidth;
const moves = each => getComputedStyle(each).overflowX !== "visible";
function sticks_out(each) {
  if (each.getBoundingClientRect().right <= room + 1) return false;
  for (let at = each; at.tagName !== "ARTICLE"; at = at.parentElement) if (moves(at)) return false;
  return true;
}
async function look_at(names) {
  const found = [];
  for (const name of names) {
    const text = await (await fetch("/" + name)).text();
    const page = new DOMParser().parseFromString(text, "text/html");
    document.querySelector("article").replaceWith(page.querySelector("article"));
    const wide = [...document.querySelectorAll("article *")].filter(sticks_out);
    const starts = wide.slice(0, 3).map(each => each.outerHTML.slice(0, 80));
    if (wide.length) found.push([name, ...starts]);
  }
  return found;
}
"""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
    pytest.mark.skipif(not PAGES, reason="scripts/docs --check has not built the site"),
]


class Files(SimpleHTTPRequestHandler):
    """Serve the site, and say nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Where the site is served."""
    handler = functools.partial(Files, directory=SITE)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A browser for the tests of this module."""
    with browse() as page:
        yield page


def test_no_page_is_wider_than_a_small_phone(page: Page, site: str) -> None:
    """Wide tables and code are moved on their own, on a page that stays."""
    page.emulate_phone(320, 700)
    page.open(f"{site}index.html")
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.evaluate(TOO_WIDE)
    assert page.evaluate(f"look_at({PAGES})") == []
    page.emulate_phone(0, 0)


@pytest.mark.parametrize("word", ["threads", "wsgi", "timeout"])
def test_the_search_finds_pages(page: Page, site: str, word: str) -> None:
    """With a few words of each."""
    page.open(f"{site}search.html?q={word}")
    page.wait_for("document.querySelectorAll('#search-results li .context').length > 3")


@pytest.mark.parametrize("name", ["threads", "bridge_workers"])
def test_the_search_leads_to_a_row(page: Page, site: str, name: str) -> None:
    """Settings and metrics are found before pages that name them; the link is to their row."""
    page.open(f"{site}search.html?q={name}")
    page.wait_for("document.querySelectorAll('#search-results li .context').length > 1")
    link = page.evaluate("document.querySelector('#search-results li a').href")
    page.open(link)
    assert name in page.evaluate("document.querySelector('tr:target').textContent")
