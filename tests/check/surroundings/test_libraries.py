"""Libraries that wait in C, patch threads, or have pools (M51)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from bridge.check.findings import Findings
from bridge.check.surroundings.libraries import look_at_drivers, look_at_pools, patched_by
from tests.support import hosts


def test_drivers_that_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """M51: and only those."""
    monkeypatch.delitem(sys.modules, "psycopg2.extensions", raising=False)
    findings = Findings()
    look_at_drivers(findings)
    assert list(findings) == []
    for name in ("MySQLdb", "psycopg2.extensions"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    look_at_drivers(findings)
    assert {each.id for each in findings} == {"c-driver", "psycopg2"}


def test_pools_that_are_smaller_than_the_threads(tmp_path: Path) -> None:
    """M51: size and overflow count; what has no limit is none."""

    def found(**settings: Any) -> list[str]:
        engine = create_engine(f"sqlite:///{tmp_path}/db", **settings)
        module = ModuleType("shop")
        module.engine = engine  # type: ignore[attr-defined]
        findings = Findings()
        look_at_pools([module], 8, findings)
        engine.dispose()
        return [each.text for each in findings]

    assert found() == []
    assert found(pool_size=2, max_overflow=-1) == []
    assert found(poolclass=NullPool) == []
    assert found(pool_size=2, max_overflow=1) == [
        "SQLAlchemy's pool gives at most 3 connections, and there are 8 threads"
    ]


def test_pools_of_the_extension_for_flask() -> None:
    """M51: it keeps its engines by app."""
    extension = type("SQLAlchemy", (), {"__module__": "flask_sqlalchemy.extension"})()
    engine = create_engine("sqlite:////tmp/none", pool_size=1, max_overflow=0)
    extension._app_engines = {"app": {None: engine}}
    module = ModuleType("shop")
    module.db = extension  # type: ignore[attr-defined]
    findings = Findings()
    look_at_pools([module], 8, findings)
    assert [each.id for each in findings] == ["sqlalchemy-pool"]
    engine.dispose()


def test_threads_that_gevent_has_replaced(tmp_path: Path) -> None:
    """M51: nothing is sent; the line that patches is named, and a server that takes it."""
    assert patched_by() is None
    (tmp_path / "shop.py").write_text(
        "from gevent import monkey\n\nmonkey.patch_all()\n\n"
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'']\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "bridge", "check", "shop:app", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(hosts.ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
    )
    told = json.loads(ended.stdout)
    assert ended.returncode == 1
    (finding,) = told["findings"]
    assert (finding["id"], finding["places"][0]["line"]) == ("gevent", 3)
    assert told["apps"][0]["requests"] == 0
    assert told["serve"]["command"] == "gunicorn -k gevent shop:app"
