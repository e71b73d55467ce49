"""The servers and adapters that are asked, each with its command, one worker and its defaults.

``{python}`` is an interpreter that has the packages of a row, ``{bin}`` its folder of programs.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

_VERSIONS = (
    "import importlib.metadata as m, json;"
    "print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
)
_HERE = "--host 127.0.0.1 --port {port}"
_BRIDGE = f"{{python}} -m bridge serve {{app}} {_HERE} --no-access-log"
_UVICORN = f"{{python}} -m uvicorn {{app}} {_HERE} --no-access-log --log-level warning"
_GUNICORN = (
    "{python} -m gunicorn {app} --bind 127.0.0.1:{port} --no-control-socket --log-level warning"
)
_HYPERCORN = "{python} -m hypercorn --bind 127.0.0.1:{port}"
_GRANIAN = f"{{python}} -m granian {{app}} {_HERE} --log-level warning"

WSGI_APP = "bench.compared.wsgi_app:app"
ASGI_APP = "bench.compared.asgi_app:app"


@dataclass(frozen=True)
class Row:
    """A server with an app; `needs` are its packages, whose versions are shown."""

    command: str
    needs: tuple[str, ...]
    app: str

    def words(self, python: str, port: int) -> list[str]:
        places = {"python": python, "bin": str(Path(python).parent), "app": self.app}
        return [word.format(**places, port=port) for word in self.command.split()]


def _under_uvicorn(adapter: str, *needs: str) -> Row:
    return Row(_UVICORN, ("uvicorn", *needs), f"bench.compared.adapters:{adapter}")


WSGI_SERVERS = {
    "asgi-bridge": Row(f"{_BRIDGE} --threads 8", (), WSGI_APP),
    "gunicorn sync": Row(_GUNICORN, ("gunicorn",), WSGI_APP),
    "gunicorn gthread": Row(f"{_GUNICORN} -k gthread --threads 8", ("gunicorn",), WSGI_APP),
    "granian": Row(f"{_GRANIAN} --interface wsgi --blocking-threads 8", ("granian",), WSGI_APP),
    "hypercorn": Row(f"{_HYPERCORN} wsgi:{{app}}", ("hypercorn",), WSGI_APP),
    "waitress": Row(
        "{python} -m waitress --listen=127.0.0.1:{port} --threads=8 {app}", ("waitress",), WSGI_APP
    ),
    "uWSGI": Row(
        "{bin}/uwsgi --http 127.0.0.1:{port} --master --die-on-term --threads 8 --module {app}",
        ("pyuwsgi",),
        WSGI_APP,
    ),
    "uvicorn's own": Row(f"{_UVICORN} --interface wsgi", ("uvicorn",), WSGI_APP),
}
ADAPTERS = {
    "asgi-bridge": _under_uvicorn("bridge_app"),
    "a2wsgi": _under_uvicorn("a2wsgi_app", "a2wsgi"),
    "asgiref": _under_uvicorn("asgiref_app", "asgiref"),
    "Starlette": _under_uvicorn("starlette_app", "starlette"),
}
ASGI_SERVERS = {
    "asgi-bridge": Row(_BRIDGE, (), ASGI_APP),
    "uvicorn": Row(_UVICORN, ("uvicorn",), ASGI_APP),
    "gunicorn, UvicornWorker": Row(
        f"{_GUNICORN} -k uvicorn.workers.UvicornWorker", ("gunicorn", "uvicorn"), ASGI_APP
    ),
    "gunicorn asgi": Row(f"{_GUNICORN} -k asgi", ("gunicorn",), ASGI_APP),
    "granian": Row(f"{_GRANIAN} --interface asgi", ("granian",), ASGI_APP),
    "hypercorn": Row(f"{_HYPERCORN} {{app}}", ("hypercorn",), ASGI_APP),
    "daphne": Row("{python} -m daphne -b 127.0.0.1 -p {port} {app}", ("daphne",), ASGI_APP),
}


def versions(python: str) -> dict[str, str]:
    """The packages of an interpreter, by their names in small letters."""
    said = subprocess.run([python, "-c", _VERSIONS], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(said.stdout)
    return found
