"""The two apps of a cutover's file are loaded."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from bridge.asgi.lifespan import Lifespan
from bridge.cutover.app import Cutover
from bridge.errors import AppLoadError, ConfigError
from bridge.server.apps.ramp import load_cutover
from bridge.types import Environ, Receive, Scope, Send, StartResponse


def old(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [])
    return [b"old"]


async def new(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError


APPS = {"legacy:app": old, "fresh:app": new, 'fresh:make("a:b")': new}


def load_app(target: str) -> Any:
    if target not in APPS:
        raise AppLoadError(f"there is no {target}")
    return APPS[target]


def load(folder: Path, text: str) -> Cutover:
    file = folder / "cutover.toml"
    file.write_text(text)
    return load_cutover(str(file), load_app)


ROUTES = '[[routes]]\nname = "a"\npaths = "/a"\nmode = "new"\n'


@pytest.mark.parametrize(
    ("target", "kind"),
    [("fresh:app", "asgi3"), ("asgi2:fresh:app", "asgi2"), ('fresh:make("a:b")', "asgi3")],
)
def test_apps_are_named_as_mounts_are(tmp_path: Path, target: str, kind: str) -> None:
    """M1: module:attr, with the kind before it if it has to be said."""
    cutover = load(tmp_path, f"old = 'legacy:app'\nnew = '{target}'\nserved_by = 'X-By'\n{ROUTES}")
    assert [each.kind for each in cutover.sides.values()] == ["wsgi", kind]
    assert [each.name for each in cutover.table.routes] == ["a"]
    assert cutover.served_by == b"x-by"
    assert [each.target for each in cutover.sides.values()] == ["legacy:app", target]


def test_a_factory_is_called_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """M1: the error says how, and not what a command line would have."""
    monkeypatch.setitem(APPS, "legacy:create_app", lambda: old)
    with pytest.raises(ConfigError, match=r"if it makes the app, call it; in this file, say mod"):
        load(tmp_path, f"old = 'legacy:create_app'\nnew = 'fresh:app'\n{ROUTES}")


def test_a_new_app_that_cannot_be_loaded_is_one_that_does_not_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """M1: the old one serves on, also without any lifespan, unless the new one is required."""
    text = f"old = 'legacy:app'\nnew = 'gone:app'\n{ROUTES}"
    cutover = load(tmp_path, text)
    assert cutover.choose(cutover.table.routes[0], {}).side == "old"

    async def start() -> None:
        lifespan = Lifespan(cutover)
        await lifespan.startup()
        assert "there is no gone:app" in cutover.new_failed
        await lifespan.shutdown()

    asyncio.run(start())
    (record,) = caplog.records
    assert (
        "the new app did not start, so the old app answers everything: there is" in record.message
    )
    with pytest.raises(AppLoadError, match="there is no gone:app"):
        load(tmp_path, f"require_new = true\n{text}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("new = 'fresh:app'", 'names no old app; say old = "module:attr"'),
        ("old = 'legacy:app'", "names no new app"),
        ("old = 'legacy:app'\nnew = 'legacy:app'", "old and new are the same app"),
        ("old = 'legacy:app'\nnew = 'fresh:app'\nserved_by = 'a b'", "served_by is 'a b'"),
        (
            "old = 'legacy:app'\nnew = 'fresh:app'\n[[routes]]\nname = 'a'\npaths = '/a'\n"
            "mode = 'shadow'\nsample = 150",
            "route a: sample is 150; allowed is a number of percent from 0 to 100",
        ),
    ],
)
def test_what_is_wrong_names_the_file_once(tmp_path: Path, text: str, says: str) -> None:
    """M5: one line, before anything is served."""
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        load(tmp_path, text)
    assert str(caught.value).count("cutover.toml") == 1
    assert "\n" not in str(caught.value)


def test_an_old_app_that_cannot_be_loaded_is_the_end(tmp_path: Path) -> None:
    """M1: without it there is nothing to serve."""
    with pytest.raises(AppLoadError, match="there is no gone:app"):
        load(tmp_path, "old = 'gone:app'\nnew = 'fresh:app'")
