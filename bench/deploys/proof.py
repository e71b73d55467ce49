"""``scripts/deploys``: the proof, for 90 s, on our server and on Gunicorn with our worker class."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.deploys.site import Site
from bench.deploys.story import Story, on_bridge, on_gunicorn
from bench.load.deploys.mixture import Mixture
from bench.load.deploys.outcome import Outcome, Tally
from bench.load.deploys.process import crowd
from bench.peers.processes import free_port, started

RELOADS = 5
STORIES: dict[str, Callable[[Story, int], None]] = {"bridge": on_bridge, "gunicorn": on_gunicorn}


@contextmanager
def deployed(name: str, mixture: Mixture, *options: str) -> Iterator[Story]:
    """A server of this name under load, with which a story may begin."""
    with tempfile.TemporaryDirectory() as folder:
        site, port = Site(Path(folder)), free_port()
        command = site.bridge(port) if name == "bridge" else site.gunicorn(port)
        command += [*options, *(site.certificate() if mixture.tls else ())]
        log = Path(folder) / "log"
        with (
            started(command, site.environment, port, log=log) as running,
            crowd(port, mixture) as asking,
        ):
            story = Story(running.process, port, site, asking, log.read_text, mixture.tls)
            story.until("nothing is served", lambda: story.serves_only("1"))
            yield story


def summary(story: Story, outcome: Outcome) -> tuple[Tally, str]:
    """The failures, told apart, and all of it as text."""
    tally = outcome.tally(story.kills, story.told)
    counted = ", ".join(f"{count:,} {kind}" for kind, count in outcome.answers.items())
    lines = [
        *story.steps,
        f"{outcome.requests:,} requests in {outcome.seconds:.1f} s ({counted})",
        f"connections: {outcome.told} told to close, {outcome.idle} closed while idle, "
        f"{outcome.restarted} WebSockets told to come back",
        f"failed: {len(tally.lost)} ({tally.kinds()}); in flight on a killed worker: "
        f"{len(tally.killed)}; after SIGTERM: {len(tally.going)}",
        *map(str, tally.lost[:40]),
    ]
    return tally, "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/deploys", description=__doc__)
    # An empty list is what argparse finds, and looks up, if none is named.
    parser.add_argument("server", nargs="*", choices=[[], *STORIES], default=[], metavar="server")
    parser.add_argument("--seconds", type=float, default=90)
    options = parser.parse_args()
    failed = False
    for name in options.server or STORIES:
        with deployed(name, Mixture("/asgi", "/wsgi")) as story:
            began = time.monotonic()
            STORIES[name](story, RELOADS)
            story.serve(max(options.seconds - (time.monotonic() - began), 1))
            tally, text = summary(story, story.end())
            if tally.lost or story.process.returncode:
                text += f"\nThe server said:\n{story.log()[-4000:]}"
        print(f"{name}:\n{text}\n", flush=True)
        failed |= bool(tally.lost or story.process.returncode)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
