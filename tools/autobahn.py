"""The Autobahn test suite against our server: ``python -m tools.autobahn WSTEST [CASES...]``.

`WSTEST` is the suite's command. Starts the server with an echo app, has the fuzzing client run
the cases (all, or those given, as ``6.*``), says which did not pass, and after a run of all of
them writes docs/reference/autobahn.md. Called by scripts/autobahn, which installs the suite.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import bridge

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "autobahn.md"
AGENT = "asgi-bridge"

GROUPS = {
    1: "Framing",
    2: "Pings and pongs",
    3: "Reserved bits",
    4: "Opcodes",
    5: "Fragmentation",
    6: "UTF-8",
    7: "Closing",
    9: "Limits and performance",
    10: "Miscellaneous",
    12: "Compression, messages of many kinds and sizes",
    13: "Compression, negotiated parameters",
}
#: Outcomes that pass. (`INFORMATIONAL`: there is no right or wrong.)
PASSED = ("OK", "INFORMATIONAL")

Results = dict[str, dict[str, str]]


def main(arguments: list[str]) -> int:
    """Run the suite. Returns the exit code: 0 where every case passed."""
    wstest, *cases = arguments
    with tempfile.TemporaryDirectory(prefix="autobahn-") as folder:
        results = run(wstest, cases or ["*"], Path(folder))
    bad = [case for case, result in results.items() if not passed(result)]
    for case in bad:
        print(f"case {case}: {results[case]}")
    print(f"{len(results)} cases, {len(bad)} did not pass")
    if not cases:
        PAGE.write_text(page(results), encoding="utf-8")
        print(f"wrote {PAGE.relative_to(ROOT)}")
    return 1 if bad or not results else 0


def run(wstest: str, cases: list[str], folder: Path) -> Results:
    """What the fuzzing client says of each case, by its number."""
    port = free_port()
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "bridge", "serve", "tests.support.websocket:echo"),
            *(f"--port={port}", "--lifespan=off", "--no-access-log"),
        ],
        cwd=ROOT,
    )
    try:
        wait_for(port)
        spec = folder / "fuzzingclient.json"
        spec.write_text(json.dumps(specification(port, cases, folder)), encoding="utf-8")
        subprocess.run([wstest, "-m", "fuzzingclient", "-s", str(spec)], cwd=folder, check=True)
    finally:
        server.terminate()
        server.wait()
    results: Results = json.loads((folder / "index.json").read_text(encoding="utf-8"))[AGENT]
    return dict(sorted(results.items(), key=lambda item: [int(n) for n in item[0].split(".")]))


def specification(port: int, cases: list[str], folder: Path) -> dict[str, object]:
    """What the fuzzing client reads."""
    return {
        "outdir": str(folder),
        "servers": [{"agent": AGENT, "url": f"ws://127.0.0.1:{port}"}],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Return when the server takes connections. Raises `TimeoutError` after 20 seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the server does not take connections")


def passed(result: dict[str, str]) -> bool:
    """Whether a case passed, its closing handshake included."""
    return result["behavior"] in PASSED and result["behaviorClose"] in PASSED


def page(results: Results) -> str:
    """The page of reference."""
    groups: dict[int, Counter[str]] = {group: Counter() for group in GROUPS}
    for case, result in results.items():
        kind = result["behavior"] if passed(result) else "FAILED"
        groups[int(case.partition(".")[0])][kind] += 1
    rows = "\n".join(
        f"| {group} | {GROUPS[group]} | {counts.total()} | {counts['OK']} "
        f"| {counts['INFORMATIONAL']} | {counts['FAILED']} |"
        for group, counts in groups.items()
    )
    return f"""# WebSockets: the Autobahn test suite

Results of the [Autobahn test suite](https://github.com/crossbario/autobahn-testsuite) (its fuzzing
client) for the server (rule S20): asgi-bridge {bridge.__version__} on Python \
{sys.version.split()[0]} with websockets {version("websockets")}. A case passes if its
messages and its closing handshake pass; informational cases have no wrong result. Non-strict
results count as failed. Written by `scripts/autobahn`, which needs Python 2.7, as the suite does.

| group | what | cases | OK | informational | failed |
| --- | --- | --- | --- | --- | --- |
{rows}
"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
