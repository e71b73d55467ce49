"""How servers are started, and why one cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers.environments import Tools
from bench.peers.servers import SERVERS, Absent


def tools(folder: Path) -> Tools:
    """An environment with what is in the folder."""
    places = {"python": str(folder / "python"), "bin": str(folder), "go": str(folder / "go")}
    return Tools(places, {"peregrine-server": "no wheel", "waitress": "no network", "node": "no"})


def test_words_of_a_command(tmp_path: Path) -> None:
    """What stands in braces is filled in."""
    (tmp_path / "weft").touch()
    words = SERVERS["weft wsgi 8"].arguments(tools(tmp_path), "module:app", 8001)
    assert words[:4] == [str(tmp_path / "weft"), "module:app", "--host", "127.0.0.1"]
    assert words[-2:] == ["--wsgi-threads", "8"]
    assert "8001" in words


def test_words_of_a_server_with_many_threads(tmp_path: Path) -> None:
    """The number of threads comes before the app: waitress reads no option after it."""
    (tmp_path / "waitress-serve").touch()
    words = SERVERS["waitress 512"].arguments(tools(tmp_path), "module:app", 8001)
    assert words[-2:] == ["--threads=512", "module:app"]


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ("peregrine wsgi 1", "no wheel"),
        ("waitress", "no network"),
        ("node", "no"),
        ("granian", "granian is not installed"),
    ],
)
def test_reason_why_one_is_absent(server: str, reason: str, tmp_path: Path) -> None:
    """What pip said of a package stands below the table, although its program has another name."""
    with pytest.raises(Absent, match=f"^{reason}$"):
        SERVERS[server].arguments(tools(tmp_path), "module:app", 8001)
