"""`asgi-bridge cutover replay`, over two real servers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from bridge.server.cli import main
from bridge.server.commands.cutover.hosted import hosted
from tests.support.hosts import ROOT

OLD, NEW = "tests.support.apps.pairs.old:app", "tests.support.apps.pairs.new:app"
HELLO = "tests.support.apps.hello:wsgi"


class Pair(NamedTuple):
    """The addresses of both apps."""

    old: str
    new: str


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """The old Flask app and the new FastAPI app, each on a server."""
    with hosted("old", OLD, str(ROOT)) as old, hosted("new", NEW, str(ROOT)) as new:
        yield Pair(old, new)


def run(*args: str) -> Result:
    """Run `asgi-bridge cutover replay`."""
    return CliRunner().invoke(main, ["cutover", "replay", *args])


def recording(tmp_path: Path, *requests: str) -> str:
    """A recording of requests, each a method and a target."""
    path = tmp_path / "recording"
    lines = []
    for request in requests:
        method, target = request.split()
        lines.append(json.dumps({"method": method, "target": target, "headers": [["host", "x"]]}))
    path.write_text("\n".join(lines))
    return str(path)


def test_old_and_new_are_asked_and_compared(pair: Pair, tmp_path: Path) -> None:
    """M13: a null against a missing key, a number written otherwise, a redirect: all are found."""
    file = recording(tmp_path, "GET /items/9", "GET /items/10", "GET /shelf", "GET /same")
    result = run(file, "--old", pair.old, "--new", pair.new, "--max-different", "1")
    assert result.exit_code == 1
    assert "GET /items/{id}         2      0          2        0       0\n" in result.output
    assert "GET /same               1      1          0        0       0\n" in result.output
    assert "2 x $.price (number)\n      9.90 -> 9.9   in GET /items/9\n" in result.output
    assert "2 x $.note (missing)\n      null -> nothing   in GET /items/9\n" in result.output
    assert "http://x/shelf/ -> http://x/shelves   in GET /shelf\n" in result.output
    assert "Error: 3 of 4 differ (75 %); allowed is 1" in result.output


def test_rules_and_noise_leave_nothing(pair: Pair, tmp_path: Path) -> None:
    """M13: what may differ is said by rules, and what the old app itself changes is noise."""
    file = recording(tmp_path, "GET /items/9", "GET /shelf", "GET /page")
    report = tmp_path / "report"
    rules = ["numbers", "null=missing", "@/shelf header:location"]
    result = run(
        file, "--old", pair.old, "--new", pair.new, *[f"--ignore={rule}" for rule in rules],
        "--noise", "--max-different=0", f"--report={report}", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["total"]["equal"] == 3
    assert len(report.read_text().splitlines()) == 3


def test_unsafe_methods_are_sent_only_if_that_is_said(pair: Pair, tmp_path: Path) -> None:
    """M13: POST is skipped and counted; with --unsafe both sides get it, and log in by cookies."""
    file = recording(tmp_path, "GET /orders", "POST /orders", "GET /orders", "GET /page")
    sides = ["--old", pair.old, "--new", pair.new, "--max-different=0"]
    result = run(file, *sides)
    assert result.exit_code == 0, result.output
    assert "Skipped: 1 x POST, which is not safe to repeat (--unsafe)" in result.output
    assert "GET /orders         2      2" in result.output
    result = run(file, *sides, "--unsafe", "--keep-cookies", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["total"]["compared"] == 4


def test_fields_log_in(pair: Pair, tmp_path: Path) -> None:
    """M13: a field may be sent to both sides, or to one; more fields may be compared."""
    file = recording(tmp_path, "GET /page")
    sides = ["--old", pair.old, "--new", pair.new, "--max-different=0"]
    assert run(file, *sides, "--header=X-Who: me").exit_code == 0
    assert run(file, *sides, "--old-header=X-Who: me", "--new-header=X-Who: you").exit_code == 1
    result = run(file, *sides, "--field=Server", "--field=Content-Length")
    assert "header:content-length" in result.output


def test_an_answer_that_is_late_is_an_error(pair: Pair, tmp_path: Path) -> None:
    """M13: a side that does not answer in time is an error with a line, not a difference."""
    file = recording(tmp_path, "GET /slow")
    result = run(file, "--old", pair.old, "--new", pair.new, "--timeout=500ms", "--max-different=5")
    assert "Error: GET /slow: the old side: no answer within 0.5 s" in result.output
    assert result.exit_code == 1
    assert "GET /slow         0      0          0        0       1" in result.output


def test_the_file_of_a_cutover_says_what_to_ask(pair: Pair, tmp_path: Path) -> None:
    """M13: its apps are asked what its routes take, by their names; the others are counted."""
    plan = tmp_path / "cutover.toml"
    routes = '[[routes]]\nname = "things"\npaths = ["/items/{id}", "/same"]\n'
    plan.write_text(f'old = "wsgi:{OLD}"\nnew = "{NEW}"\n{routes}')
    file = recording(tmp_path, "GET /items/9", "GET /same", "GET /shelf", "GET /page")
    options = (f"--cutover={plan}", "--ignore=@things $.visits", "--ignore=numbers")
    result = run(file, *options, f"--app-dir={ROOT}", "--ignore=$.note", "--max-different=0")
    assert result.exit_code == 0, result.output
    assert f"Skipped: 2 x of no route of {plan}\n" in result.output
    assert "things         2      2          0        0       0\n" in result.output
    result = run(file, *options, "--old", pair.old, "--new", pair.old)
    assert "things         2      2          0        0       0\n" in result.output
    plan.write_text(routes)
    result = run(file, f"--cutover={plan}", "--old", pair.old)
    assert "no new app is named; say --new APP, or --cutover FILE" in result.output
    assert result.exit_code == 2


def test_the_file_of_a_cutover_says_what_may_differ(pair: Pair, tmp_path: Path) -> None:
    """M13: what is ignored in live copies, for all routes and for one, is ignored here, too."""
    plan = tmp_path / "cutover.toml"
    route = '[[routes]]\nname = "%s"\npaths = "/%s/{id}"\nignore = ["null=missing"]\n'
    ignore = '[shadow]\nignore = ["numbers", "@/items/* $.visits"]\n'
    plan.write_text(ignore + route % ("things", "items"))
    file = recording(tmp_path, "GET /items/9")
    command = (file, f"--cutover={plan}", "--old", pair.old, "--new", pair.new)
    result = run(*command, "--max-different=0")
    assert result.exit_code == 0, result.output
    plan.write_text(ignore + 'fields = ["content-length"]\n' + route % ("things", "items"))
    assert "1 x header:content-length (value)" in run(*command).output


def test_a_har_with_all_that_a_browser_writes(pair: Pair, tmp_path: Path) -> None:
    """M13: WebSockets, other hosts and broken entries of a HAR are counted, and named."""
    path = tmp_path / "har"
    urls = ["https://shop.example/same", "wss://shop.example/chat", "https://cdn.example/x", ""]
    entries = [{"request": {"method": "GET", "url": url, "headers": []}} for url in urls]
    path.write_text(json.dumps({"log": {"entries": entries}}))
    result = run(str(path), "--old", pair.old, "--new", pair.new, "--max-different=0")
    assert result.exit_code == 0, result.output
    for line in (
        f"Warning: entry 4 of {path}: its url is '', and not one of http or https",
        "Skipped: 1 x WebSockets",
        "Skipped: 1 x for the host cdn.example",
        "GET /same         1      1",
    ):
        assert line in result.output


def test_apps_are_served_for_it(tmp_path: Path) -> None:
    """M13: a side may be an app of a module; one that does not start ends the replay with 3."""
    file = recording(tmp_path, "GET /")
    where = ["--app-dir", str(ROOT), "--max-different=0"]
    assert run(file, f"--old={HELLO}", f"--new={HELLO}", *where).exit_code == 0
    result = run(file, "--old=tests.none:app", f"--new={HELLO}", *where)
    assert result.exit_code == 3
    assert "Error: the old app, tests.none:app, did not start" in result.output


def test_a_side_that_is_not_there(pair: Pair, tmp_path: Path) -> None:
    """M13: if nobody listens, that is one line, and the exit code 4."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        file = recording(tmp_path, "GET /same", "GET /same")
        result = run(file, "--old", pair.old, "--new", url)
    assert result.exit_code == 4
    assert result.output == f"Error: the new side, {url}, does not answer: Connection refused\n"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--ignore=nonsense"], "is no rule"),
        (["--header=nonsense"], "is no field of a request; allowed is NAME: VALUE"),
        (["--timeout=x"], "timeout"),
        (["--new=ftp://x"], "is no address of an app"),
        (["--report=/none/report"], "cannot be written"),
        (["--max-different=x"], "is no limit"),
    ],
)
def test_wrong_usage_is_told(tmp_path: Path, args: list[str], text: str) -> None:
    """M13: what is not understood ends with 2 and a line, before anything is asked."""
    file = recording(tmp_path, "GET /same")
    result = run(file, "--old", "http://127.0.0.1:1", "--new", "http://127.0.0.1:1", *args)
    assert (result.exit_code, text in result.output) == (2, True), result.output
