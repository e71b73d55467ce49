"""What the app's own source says (M51)."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from bridge.check.findings import Findings
from bridge.check.surroundings.source import look_at_source
from bridge.loops.watchdog.stack import Place

SOURCE = """
import asyncio
import time
import requests as http
from time import sleep as nap
from urllib import request
try:
    import uwsgi
except ImportError:
    uwsgi = None

async def blocks():
    time.sleep(1)
    [nap(1) for _ in range(3)]
    http.get("http://x")
    request.urlopen("http://x")

async def good():
    await asyncio.sleep(1)
    await asyncio.to_thread(time.sleep, 1)
    def in_a_thread():
        time.sleep(1)
    await asyncio.to_thread(lambda: http.get("http://x"))
    time.monotonic()
    self.time.sleep(1)

def plain():
    time.sleep(1)
"""


def found(folder: Path, *, as_asgi: bool = True, known: tuple[int, ...] = ()) -> list[str]:
    (folder / "shop.py").write_text(SOURCE)
    module = ModuleType("shop")
    module.__file__ = str(folder / "shop.py")
    findings = Findings()
    places = [Place(str(folder / "shop.py"), line, "blocks") for line in known]
    look_at_source([module], findings, as_asgi=as_asgi, known=places)
    return [f"{each.id} {each.text.split()[4]} {each.places[0].line}" for each in findings]


def test_calls_that_block_in_async_functions(tmp_path: Path) -> None:
    """M51: by what the imports say; not those that run in threads, or in plain functions."""
    calls = [each for each in found(tmp_path) if each.startswith("blocking-call")]
    assert calls == [
        "blocking-call time.sleep(), 13",
        "blocking-call requests.get(), 15",
        "blocking-call urllib.request.urlopen(), 16",
    ]
    assert len(found(tmp_path, known=(15, 16))) == len(found(tmp_path)) - 2


def test_the_api_of_uwsgi(tmp_path: Path) -> None:
    """M51: also if the import may fail; what blocks a loop does not matter without one."""
    assert [each.split()[0] for each in found(tmp_path, as_asgi=False)] == ["uwsgi-api"]


def test_what_has_no_source() -> None:
    """M51: is left out."""
    findings = Findings()
    look_at_source([ModuleType("shop")], findings, as_asgi=True)
    assert list(findings) == []
