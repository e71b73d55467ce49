"""The how-to "Send a share": its file and its code work as they are printed."""

from __future__ import annotations

import re
import sys
from types import ModuleType

import pytest

from bridge.cutover.canary.settings import CanarySettings
from bridge.cutover.settings_file import parse_plan
from bridge.types import Receive, Scope, Send
from tests.support.hosts import ROOT
from tests.support.in_process import http

PAGE = (ROOT / "docs" / "howto" / "send-a-share.md").read_text()
(FILE,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)


def test_the_file_says_what_the_page_says() -> None:
    """M21: steps, gate and rescue are keys of a route; it begins with the first step."""
    (route,) = parse_plan(FILE).routes
    assert (route.mode, route.share) == ("canary", 1.0)
    assert isinstance(route.canary, CanarySettings)
    assert route.canary.steps.shares == (1, 5, 25, 50, 100)
    assert route.canary.gate.max_p95_ratio == 2
    assert route.canary.rescue is True


def test_the_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """M20: the cookies on the page choose the side."""
    for name in ("legacy", "fresh"):
        module = ModuleType(name)

        async def app(scope: Scope, receive: Receive, send: Send, name: str = name) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": name.encode()})

        module.app = app  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    found: dict[str, object] = {}
    exec(compile(CODE, "send-a-share.md", "exec"), found)
    for place, said in ((b"0", b"fresh"), (b"9999", b"legacy")):
        headers = [(b"host", b"a"), (b"cookie", b"bridge_canary=" + place)]
        assert http(found["app"], "/invoices/1", headers=headers).body == said  # type: ignore[arg-type]
