"""The table of servers: how each is started, with one worker and without an access log.

A word in braces is filled in: ``{python}`` and ``{bin}`` of the peers' environment, ``{root}`` of
the repository, ``{app}`` as "module:attr", ``{port}``, and the other places of `tools`.
Everything else is each server's default, but for what a user who wants speed would choose.
"""

from __future__ import annotations

import shutil
import string
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers.environments import ROOT, Tools


@dataclass(frozen=True)
class Server:
    command: str
    environment: dict[str, str] = field(default_factory=dict)

    def arguments(self, tools: Tools, app: str, port: int) -> list[str]:
        """The words of the command. Raises ``Absent`` when something it needs is not there."""
        names = {name for _, name, _, _ in string.Formatter().parse(self.command) if name}
        for name in names & tools.absent.keys():
            raise Absent(tools.absent[name])
        places = {**tools.places, "root": str(ROOT), "app": app, "port": str(port)}
        words = [word.format_map(places) for word in self.command.split()]
        if not Path(words[0]).exists():
            raise Absent(_why_not(Path(words[0]).name, tools))
        return words


def _why_not(program: str, tools: Tools) -> str:
    """Why `program` is not there: what was said of its package, which has almost its name."""
    first, _, _ = program.partition("-")
    for name, reason in tools.absent.items():
        if name.lower().partition("-")[0] == first:
            return reason
    return f"{program} is not installed"


class Absent(Exception):
    """A server cannot be had here; the text is the reason."""


#: granian serves no more connections at a time than its backlog is long, by default 1,024.
CONNECTIONS = 4_096

#: Threads for requests that wait: as many as a core can serve if each waits 10 ms, or one for each.
THREADS = (64, 512)

_BRIDGE = "{python} -m bridge serve {app} --host 127.0.0.1 --port {port}"
_BRIDGE_ASGI = f"{_BRIDGE} --interface asgi3"
_BRIDGE_ASGI1 = f"{_BRIDGE} --interface asgi1"
_EQUAL = "--no-access-log --no-server-header"
_BRIDGE_WSGI = f"{_BRIDGE} --interface wsgi --runner"
_BRIDGE_THREAD = f"{_BRIDGE_WSGI} thread --threads 8"
#: Each request is counted; nobody asks for the figures during a sample.
_METRICS = "--metrics-bind 127.0.0.1:0"
_UVICORN = (
    "{bin}/uvicorn {app} --host 127.0.0.1 --port {port} --loop uvloop --http httptools"
    " --no-access-log --log-level warning"
)
_GRANIAN = (
    "{bin}/granian {app} --host 127.0.0.1 --port {port} --workers 1 --http 1 --loop uvloop"
    f" --backlog {CONNECTIONS} --no-access-log --log-level warning"
)
_GUNICORN = "{bin}/gunicorn {app} --bind 127.0.0.1:{port} --workers 1 --log-level warning"
_WAITRESS = "{bin}/waitress-serve --listen=127.0.0.1:{port}"
#: Servers with so many threads; waitress takes 100 connections, and no descriptor above 1,024, if
#: it is not told so.
_MANY_THREADS = {
    "bridge thread": f"{_BRIDGE_WSGI} thread --no-access-log --threads COUNT",
    "gunicorn gthread": f"{_GUNICORN} -k gthread --threads COUNT",
    "granian wsgi": f"{_GRANIAN} --interface wsgi --blocking-threads COUNT",
    "waitress": f"{_WAITRESS} --connection-limit={CONNECTIONS} --asyncore-use-poll"
    " --threads=COUNT {app}",
}
_PEREGRINE = "{bin}/peregrine {app} --host 127.0.0.1 --port {port} --log-level warning"
_WEFT = "{bin}/weft {app} --host 127.0.0.1 --port {port} --log-level warning"
#: It has no threads for WSGI, and finds out itself which kind of app it serves.
_FASTPYSGI = "{bin}/fastpysgi {app} --host 127.0.0.1 --port {port}"
_NODE = "{node} {root}/bench/peers/node/server.js {port}"
_ONE_CORE = {"GOMAXPROCS": "1"}
#: Ours without the accelerator, as it is where that cannot be compiled.
_NO_C = {"BRIDGE_SPEEDUPS": "no"}

SERVERS = {
    "bridge": Server(f"{_BRIDGE_ASGI} --no-access-log"),
    "bridge pathsend": Server(f"{_BRIDGE_ASGI} --no-access-log --pathsend"),
    "bridge worker": Server(f"{_GUNICORN} -k bridge.server.gunicorn.BridgeWorker --threads 8"),
    "bridge, log": Server(f"{_BRIDGE_ASGI} --access-log"),
    "bridge, no C": Server(f"{_BRIDGE_ASGI} --no-access-log", _NO_C),
    "bridge thread": Server(f"{_BRIDGE_THREAD} --no-access-log"),
    "bridge both ways": Server(f"{_BRIDGE} --threads 8 --no-access-log"),
    "bridge, metrics": Server(f"{_BRIDGE_ASGI} --no-access-log {_METRICS}"),
    "bridge thread, metrics": Server(f"{_BRIDGE_THREAD} --no-access-log {_METRICS}"),
    "bridge thread, no C": Server(f"{_BRIDGE_THREAD} --no-access-log", _NO_C),
    "bridge thread, log": Server(f"{_BRIDGE_THREAD} --access-log"),
    "bridge greenlet": Server(f"{_BRIDGE_WSGI} greenlet --no-access-log"),
    "bridge greenlet, patch": Server(f"{_BRIDGE_WSGI} greenlet --patch --no-access-log"),
    "bridge inline": Server(f"{_BRIDGE_WSGI} inline --no-access-log"),
    # The rows of 2017: all with the same fields in their responses, which for ours means no Server.
    "bridge asgi 3": Server(f"{_BRIDGE_ASGI} {_EQUAL}"),
    "bridge asgi 1 inline": Server(f"{_BRIDGE_ASGI1} --runner inline {_EQUAL}"),
    "bridge asgi 1 thread": Server(f"{_BRIDGE_ASGI1} --runner thread {_EQUAL}"),
    "bridge wsgi thread": Server(f"{_BRIDGE_THREAD} {_EQUAL}"),
    "bridge wsgi inline": Server(f"{_BRIDGE} --interface wsgi --runner inline {_EQUAL}"),
    # A gateway, Redis and workers; their CPU time is that of all processes together.
    **{
        f"channels {count}": Server(
            f"{{python}} -m bench.peers.channels_main {{app}} {{port}} {count}"
        )
        for count in (1, 2, 4)
    },
    "daphne 1 with asgi_redis": Server("{daphne_python} -m bench.peers.daphne_main {port}"),
    "node, equal fields": Server(_NODE, {"EQUAL_FIELDS": "yes"}),
    "floor": Server("{python} -m bench.peers.floor {port}"),
    "go": Server("{go} {port}", _ONE_CORE),
    "node": Server(_NODE),
    "uvicorn": Server(_UVICORN),
    "uvicorn wsgi": Server(f"{_UVICORN} --interface wsgi"),
    "uvicorn, log": Server(_UVICORN.replace(" --no-access-log --log-level warning", "")),
    "uvicorn websockets": Server(f"{_UVICORN} --ws websockets"),
    "uvicorn websockets-sansio": Server(f"{_UVICORN} --ws websockets-sansio"),
    "uvicorn wsproto": Server(f"{_UVICORN} --ws wsproto"),
    "granian": Server(f"{_GRANIAN} --interface asgi"),
    "granian, log": Server(
        _GRANIAN.replace("--no-access-log --log-level warning", "--access-log")
        + " --interface asgi"
    ),
    "granian wsgi 1": Server(f"{_GRANIAN} --interface wsgi --blocking-threads 1"),
    "granian wsgi 8": Server(f"{_GRANIAN} --interface wsgi --blocking-threads 8"),
    "hypercorn": Server("{bin}/hypercorn {app} --bind 127.0.0.1:{port} -k uvloop --workers 1"),
    "gunicorn asgi": Server(f"{_GUNICORN} -k asgi --asgi-loop uvloop"),
    "gunicorn gthread": Server(f"{_GUNICORN} -k gthread --threads 8"),
    "gunicorn gevent": Server(f"{_GUNICORN} -k gevent"),
    "gunicorn gevent_pywsgi": Server(f"{_GUNICORN} -k gevent_pywsgi"),
    "waitress": Server(f"{_WAITRESS} --threads=8 {{app}}"),
    **{
        f"{name} {count}": Server(command.replace("COUNT", str(count)))
        for count in THREADS
        for name, command in _MANY_THREADS.items()
    },
    "peregrine": Server(f"{_PEREGRINE} --protocol asgi"),
    "peregrine wsgi 1": Server(f"{_PEREGRINE} --protocol wsgi --wsgi-threads 1"),
    "peregrine wsgi 8": Server(f"{_PEREGRINE} --protocol wsgi --wsgi-threads 8"),
    "weft": Server(f"{_WEFT} --protocol asgi"),
    "weft wsgi inline": Server(f"{_WEFT} --protocol wsgi --wsgi-threads 0"),
    "weft wsgi 8": Server(f"{_WEFT} --protocol wsgi --wsgi-threads 8"),
    "fastpysgi": Server(_FASTPYSGI),
    "fastpysgi wsgi": Server(_FASTPYSGI),
    "meinheld": Server("{meinheld_python} -m bench.peers.meinheld_main {app} {port}"),
}


def upstream(tools: Tools, port: int) -> list[str]:
    """The words that start the HTTP server for which apps wait."""
    return [tools.python, "-m", "bench.peers.upstream", str(port)]


def redis_server(port: int) -> list[str]:
    """The words that start a Redis which looks 500 times a second whether a wait is over.

    Raises ``Absent`` if there is none.
    """
    if (program := shutil.which("redis-server")) is None:
        raise Absent("no redis-server on the path (Debian: redis-server)")
    listen = ["--port", str(port), "--bind", "127.0.0.1", "--maxclients", str(CONNECTIONS)]
    return [program, *listen, "--save", "", "--hz", "500", "--dynamic-hz", "no"]
