"""A site that is deployed: a module in a folder of its own, and the settings of its server.

Both are read again by a reload, so each can be changed under a server that runs.
"""

from __future__ import annotations

import socket
import ssl
import sys
from pathlib import Path

from bench.load.deploys.process import ROOT

WORKERS = 4
CODE = """
from bench.apps import deployed
from bench.apps.deployed_both import app

deployed.VERSION = {version!r}
"""
BROKEN = "\nraise RuntimeError('this version cannot start')\n"


class Site:
    """A version of the app, and settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.version = 0
        self.control = folder / "control"
        self.change()

    def change(self, *, broken: bool = False, **settings: int) -> str:
        """Write the next version, and these settings; returns its name."""
        self.version += 1
        code = CODE.format(version=str(self.version)) + (BROKEN if broken else "")
        # By another name and then renamed: nobody reads half a file.
        self._write("deployed_site.py", code)
        lines = [f"{name} = {value}" for name, value in settings.items()]
        self._write("bridge.toml", "\n".join(lines))
        self._write("gunicorn.conf.py", "\n".join(lines))
        return str(self.version)

    def _write(self, name: str, text: str) -> None:
        new = self.folder / f"{name}.new"
        new.write_text(f"{text}\n")
        new.replace(self.folder / name)

    def certificate(self) -> list[str]:
        """The options for TLS, with a certificate of its own."""
        from trustme import CA  # only here: the bench itself does without

        certificate = CA().issue_cert("127.0.0.1")
        pem, key = self.folder / "certificate.pem", self.folder / "key.pem"
        certificate.cert_chain_pems[0].write_to_path(pem)
        certificate.private_key_pem.write_to_path(key)
        return [f"--ssl-certfile={pem}", f"--ssl-keyfile={key}"]

    def bridge(self, port: int) -> list[str]:
        """The command of our server."""
        return [
            *(sys.executable, "-m", "bridge", "serve", "deployed_site:app"),
            *(f"--port={port}", f"--workers={WORKERS}", "--no-access-log"),
            *(f"--config={self.folder / 'bridge.toml'}", f"--control-socket={self.control}"),
        ]

    def gunicorn(self, port: int) -> list[str]:
        """The command of Gunicorn with our worker class."""
        return [
            *(sys.executable, "-m", "gunicorn", "deployed_site:app"),
            *("-k", "bridge.server.gunicorn.BridgeWorker", f"--bind=127.0.0.1:{port}"),
            *(f"--workers={WORKERS}", "--no-control-socket"),
            f"--config={self.folder / 'gunicorn.conf.py'}",
        ]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that both need to find the site; no compiled file of it is kept."""
        return {"PYTHONPATH": f"{ROOT}:{self.folder}", "PYTHONDONTWRITEBYTECODE": "1"}


def ask(port: int, path: str, tls: bool = False) -> tuple[int, str]:
    """Which process answers a new connection, and in which version."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        connection = ssl._create_unverified_context().wrap_socket(plain) if tls else plain
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        connection.close()
    head, _, body = answer.decode().partition("\r\n\r\n")
    if not head.startswith("HTTP/1.1 200 "):
        raise OSError(f"no answer to {path}: {answer!r}")
    pid, version = body.split()
    return int(pid), version
