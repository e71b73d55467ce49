"""Where the routes of a server come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.cutover.settings_file import given_texts, read_plan
from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.process.ramp.sources import Sources

FILE = '[[routes]]\nname = "a"\npaths = "/a"\nmode = "new"\n'


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "cutover.toml"
    file.write_text(FILE)
    yield file
    given_texts.clear()


def names(sources: Sources) -> list[str]:
    return [each.name for each in sources.routes()]


def test_what_was_read_stays_until_it_is_read_again(file: Path) -> None:
    """M3, M5: also in the processes that are forked; a wrong file is an error, and no more."""
    sources = Sources.read(Config(cutover=str(file)), Sources())
    file.write_text("[[routes")
    assert names(sources) == ["a"]
    assert sources.path_of("a") == str(file)
    with pytest.raises(ConfigError, match="is not TOML"):
        Sources.read(Config(cutover=str(file)), sources)
    sources.give()
    assert [each.name for each in read_plan(str(file)).routes] == ["a"]


def told(name: str, path: str | None = None) -> list[dict[str, Any]]:
    return [{"path": path, "routes": [{"name": name, "paths": ["/x"], "mode": "new"}]}]


def test_a_worker_tells_of_routes_that_no_setting_names(file: Path) -> None:
    """M3, M21: of a file that the code names, and of those in Python; the first worker counts."""
    sources = Sources()
    assert sources.learn([*told("b"), *told("a", str(file)), *told("c", str(file) + "x")])
    assert sorted(names(sources)) == ["a", "b", "c"]
    assert (sources.path_of("a"), sources.path_of("b")) == (str(file), None)
    assert not sources.learn(told("d"))
    again = Sources.read(Config(app="m:app"), sources)
    assert names(again) == ["a"]  # the next generation tells of the others


def test_what_the_setting_names_is_not_learned_again(file: Path) -> None:
    """M3: nor is a second route of a name."""
    sources = Sources.read(Config(cutover=str(file)), Sources())
    assert sources.learn([*told("a", str(file)), *told("a"), *told("b")])
    assert names(sources) == ["a", "b"]


def test_a_file_that_the_code_names_no_more_is_forgotten(file: Path, tmp_path: Path) -> None:
    """M3: the last step of a move can be reloaded, whether the file is deleted or not."""
    other = tmp_path / "other.toml"
    other.write_text(FILE.replace('"a"', '"b"'))
    sources = Sources()
    sources.learn([*told("a", str(file)), *told("b", str(other))])
    file.unlink()
    again = Sources.read(Config(app="m:app"), sources)
    assert names(again) == ["b"]
    again.learn(told("c"))
    assert names(again) == ["c"]


def test_of_two_cutovers_the_first_one_has_a_name(
    file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """M5: the log says so, and orders for that route have one file."""
    other = tmp_path / "other.toml"
    other.write_text(FILE)
    sources = Sources()
    sources.learn([*told("a", str(file)), *told("a", str(other))])
    assert (names(sources), sources.path_of("a")) == (["a"], str(file))
    assert "two cutovers have a route a, the second one in" in caplog.text
