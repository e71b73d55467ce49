"""The probes see what a server does; ours does what the page says."""

from __future__ import annotations

import json
import sys

import pytest

from bench.compared import rows, tables, wsgi_probes
from bench.compared.__main__ import TABLES, asked
from bench.peers.environments import DOCUMENTS

SAVED = json.loads((DOCUMENTS / "compared.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("table", TABLES)
def test_ours_is_as_it_should_be(table: str) -> None:
    """No probe has found a fault in ours; one that does is mended before it is saved."""
    ours = SAVED["tables"][table]["asgi-bridge"]
    assert {what: each["seen"] for what, each in ours.items() if not each["good"]} == {}


@pytest.mark.parametrize("table", TABLES)
def test_all_are_asked_the_same(table: str) -> None:
    """Each server has an outcome of each probe, in the order of the page."""
    for outcomes in SAVED["tables"][table].values():
        assert list(outcomes) == list(TABLES[table][1])


def test_probes_over_the_wire() -> None:
    """Those that the page is for: a client that leaves, an upload that is cut, bad requests."""
    names = ("close_is_called", "cut_upload", "smuggling")
    probes = {name: getattr(wsgi_probes, name) for name in names}
    found = asked(rows.WSGI_SERVERS["asgi-bridge"], sys.executable, probes)
    assert {name: each["cell"] for name, each in found.items()} == {
        "close_is_called": "yes",
        "cut_upload": "yes",
        "smuggling": "11 of 11",
    }


def test_cells() -> None:
    """A mark, the figure if there is one, and a dash for what could not be asked."""
    assert tables._cell({"good": True, "cell": "yes"}) == "✓"
    assert tables._cell({"good": False, "cell": "40 MB"}) == "✗ 40 MB"
    assert tables._cell({"good": False, "cell": "-"}) == "-"
    assert tables._cell(None) == "-"
