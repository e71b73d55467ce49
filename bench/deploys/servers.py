"""The table of servers that are deployed: how each is started, and what it can.

Each runs two workers. It is told as its own documentation says; what it has no order for it cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.deploys import orders
from bench.deploys.orders import Deployed
from bench.load.deploys.mixture import Mixture
from bench.peers.environments import Tools
from bench.peers.servers import Server

WORKERS = 2
REQUESTS = 500
#: Clients ask some 50 times a second each, so that the servers keep up while they are deployed.
#: Streams last for two seconds at most: each server is told to wait longer than that.
PACE, STREAM = 0.02, 2
BOTH = Mixture("/asgi", "/wsgi", pace=PACE, stream=STREAM)
ASGI = Mixture(asgi="", pace=PACE, stream=STREAM)
WSGI = Mixture(wsgi="", pace=PACE, stream=STREAM)

Order = Callable[[Deployed], None]

#: Column -> what is done.
COLUMNS: dict[str, Order] = {
    "HUP x 5": orders.reload_five_times,
    f"max-requests {REQUESTS}": orders.wait,
    "SIGKILL": orders.kill_worker,
    "scale": orders.scale,
    "SIGTERM": orders.terminate,
}
MAX_REQUESTS = f"max-requests {REQUESTS}"


@dataclass(frozen=True)
class Row:
    """A server. `limited`: the option for `REQUESTS`, if there is one. `cannot`: columns."""

    command: str
    app: str
    mixture: Mixture
    limited: str = ""
    cannot: tuple[str, ...] = ()

    def can(self, column: str) -> bool:
        return column not in self.cannot and bool(self.limited or column != MAX_REQUESTS)

    def arguments(self, tools: Tools, column: str, port: int) -> list[str]:
        """The words of the command. Raises ``Absent``."""
        limited = f" {self.limited}" if column == MAX_REQUESTS else ""
        return Server(self.command + limited).arguments(tools, self.app, port)


_AT = f"{{app}} --host 127.0.0.1 --port {{port}} --workers {WORKERS}"
_GUNICORN = (
    f"{{bin}}/gunicorn {{app}} --bind 127.0.0.1:{{port}} --workers {WORKERS}"
    " --no-control-socket --log-level warning"
)
_LIMITED = f"--max-requests {REQUESTS}"
_APP = "bench.apps.deployed"

ROWS = {
    "bridge": Row(
        f"{{python}} -m bridge serve {_AT} --no-access-log",
        f"{_APP}_both:app",
        BOTH,
        _LIMITED,
    ),
    "gunicorn, our worker": Row(
        f"{_GUNICORN} -k bridge.server.gunicorn.BridgeWorker --threads 8",
        f"{_APP}_both:app",
        BOTH,
        _LIMITED,
    ),
    "gunicorn asgi": Row(f"{_GUNICORN} -k asgi --asgi-loop uvloop", f"{_APP}:asgi", ASGI, _LIMITED),
    "gunicorn gthread": Row(f"{_GUNICORN} -k gthread --threads 8", f"{_APP}:wsgi", WSGI, _LIMITED),
    "uvicorn": Row(
        f"{{bin}}/uvicorn {_AT} --no-access-log --log-level warning --timeout-graceful-shutdown 30",
        f"{_APP}:asgi",
        ASGI,
        f"--limit-max-requests {REQUESTS}",
    ),
    "hypercorn": Row(
        f"{{bin}}/hypercorn {{app}} --bind 127.0.0.1:{{port}} --workers {WORKERS} -k uvloop"
        " --graceful-timeout 30",
        f"{_APP}:asgi",
        ASGI,
        _LIMITED,
        ("scale",),
    ),
    "granian": Row(
        f"{{bin}}/granian {_AT} --interface asgi --http 1 --loop uvloop --no-access-log"
        " --log-level warning --respawn-failed-workers --respawn-interval 0.5"
        " --workers-kill-timeout 30s",
        f"{_APP}:asgi",
        ASGI,
        cannot=("scale",),
    ),
    "peregrine": Row(
        f"{{python}} {{bin}}/peregrine {_AT} --protocol asgi --log-level warning"
        " --graceful-timeout 30000",
        f"{_APP}:asgi",
        ASGI,
        cannot=("scale",),
    ),
    "weft": Row(
        f"{{python}} {{bin}}/weft {_AT} --protocol asgi --log-level warning --graceful-timeout 30",
        f"{_APP}:asgi",
        ASGI,
        cannot=("scale",),
    ),
}
