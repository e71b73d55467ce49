"""The table of docs/howto/choose-a-runner.md: each library under each runner, for real (G8)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import takewhile
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.conftest import StartHost
from tests.support import mariadb, postgres
from tests.support.hosts import ROOT, Command, Host, bridge, start
from tests.support.mariadb import needs_mariadb
from tests.support.postgres import needs_postgres
from tests.support.redis import needs_redis, redis, redis_url

pytestmark = [needs_mariadb, needs_postgres, needs_redis, pytest.mark.slow]

PAGE = ROOT / "docs" / "howto" / "choose-a-runner.md"
APP = "tests.support.apps.libraries:app"
#: The options by the heads of the table's columns.
RUNNERS = {
    "`thread`": ("--runner=thread",),
    "`greenlet` with `--patch`": ("--runner=greenlet", "--patch"),
    "`greenlet`": ("--runner=greenlet",),
    "`inline`": ("--runner=inline",),
}
SIDE_BY_SIDE, ONE_AT_A_TIME, IN_THREAD = "side by side", "one at a time", "`in_thread`"
#: Seconds that each request waits. A machine that is busy may begin the second when the first is
#: over: if they should have been side by side, it is given more time.
SECONDS, MORE_SECONDS = 0.2, 3.0


def table() -> dict[str, dict[str, str]]:
    """What the page says: by runner, then by library."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    begin = next(place for place, line in enumerate(lines) if line.startswith("| library"))
    rows = takewhile(lambda line: line.startswith("|"), lines[begin:])
    head, _, *body = (re.split(r"\s*\|\s*", row.strip("| ")) for row in rows)
    return {
        runner: {row[0]: row[column] for row in body}
        for column, runner in enumerate(head)
        if column
    }


TABLE = table()


@pytest.fixture(scope="module")
def app() -> Iterator[Command]:
    """How the server is started; what the libraries ask runs."""
    with ExitStack() as stack:
        upstream = stack.enter_context(start(bridge("tests.support.apps.late_upstream:app")))
        yield bridge(APP, "--no-access-log").with_env(
            UPSTREAM=upstream.url("/"),
            POSTGRES=postgres.postgres_url(stack.enter_context(postgres.started())),
            MARIADB=mariadb.mariadb_url(stack.enter_context(mariadb.started())),
            REDIS=redis_url(stack.enter_context(start(redis()))),
        )


def test_the_table_has_all_libraries() -> None:
    """G8: each runner is a column, and each cell says one of three things."""
    assert {*TABLE} == {*RUNNERS}
    cells = {cell for column in TABLE.values() for cell in column.values()}
    assert cells == {SIDE_BY_SIDE, ONE_AT_A_TIME, IN_THREAD}
    assert len(TABLE["`thread`"]) >= 20


@pytest.mark.parametrize("runner", RUNNERS)
def test_libraries_do_what_the_page_says(runner: str, app: Command, start_host: StartHost) -> None:
    """G8 G6 G7: two requests wait at the same time, or one after the other; answers are right."""
    command = Command(app.name, (*app.argv, *RUNNERS[runner]), app.env)
    host = start_host(command)
    expected = TABLE[runner]
    assert {library: behaves(host, library, cell) for library, cell in expected.items()} == expected


def behaves(host: Host, library: str, expected: str) -> str:
    """What the library does, in the words of the table."""
    if together(host, library, "", expected == SIDE_BY_SIDE):
        return SIDE_BY_SIDE
    if together(host, library, "&in_thread", expected == IN_THREAD):
        return IN_THREAD
    return ONE_AT_A_TIME


def together(host: Host, library: str, way: str, expected: bool) -> bool:
    """Whether two requests wait at the same time."""
    return _overlap(host, library, way, SECONDS) or (
        expected and _overlap(host, library, way, MORE_SECONDS)
    )


def _overlap(host: Host, library: str, way: str, seconds: float) -> bool:
    url = host.url(f"/{quote(library)}?{seconds}{way}")

    def ask(_: int) -> tuple[float, float]:
        with urlopen(url, timeout=60) as response:
            begin, end = response.read().split()
        return float(begin), float(end)

    with ThreadPoolExecutor(2) as pool:
        first, second = sorted(pool.map(ask, range(2)))
    assert first[1] - first[0] > seconds * 0.9, "it has not waited"
    return second[0] < first[1]
