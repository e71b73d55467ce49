"""Start the demo, and end it: a folder, a database, the server, and some visitors.

``scripts/demo`` runs it. It ends with Ctrl+C, or SIGTERM, and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import http.client
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Event

from load import ADDRESS, Load

HERE = Path(__file__).resolve().parent
SHOPS = HERE.parent / "ramp_flask"
#: Seconds for the server to end, until it is ended.
PATIENCE = 15


def main() -> int:
    """Run the demo until a signal comes. Returns the exit code."""
    options, more = read_arguments()
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    port = options.port
    with tempfile.TemporaryDirectory(prefix="asgi-bridge-demo-") as name:
        folder = Path(name)
        environ = prepare(folder, options.failing)
        # A group of its own: Ctrl+C is for this process, which then ends the server.
        server = subprocess.Popen(command(folder, port, more), env=environ, process_group=0)
        load = None
        try:
            if wait_for(server, port, environ["DEMO_TOKEN"].encode(), ended):
                introduce(port, folder)
                load = Load(port, options.rate, options.minutes * 60, folder / "load.json")
                while server.poll() is None and not ended.wait(0.2):
                    pass
        finally:
            if load is not None:
                load.end()
            code = stop(server)
    return 0 if ended.is_set() else code or 1


def read_arguments() -> tuple[argparse.Namespace, list[str]]:
    """Read the command line; what is not for the demo is for `asgi-bridge serve`."""
    parser = argparse.ArgumentParser(prog="scripts/demo", allow_abbrev=False)
    port = int(os.environ.get("PORT") or 8000)
    parser.add_argument("--port", type=int, default=port, help="$PORT, or 8000")
    parser.add_argument("--rate", type=float, default=150, help="requests a second (150)")
    parser.add_argument("--minutes", type=float, default=30, help="so long visitors come (30)")
    parser.add_argument(
        "--failing", type=float, default=5, help="what a broken new app fails, in percent (5)"
    )
    return parser.parse_known_args()


def prepare(folder: Path, failing: float) -> dict[str, str]:
    """Make the database and the file of the ramp; returns the environment of the server."""
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(SHOPS), os.environ.get("PYTHONPATH")))),
        "SHOP_DATABASE": str(folder / "shop.db"),
        "DEMO_FOLDER": str(folder),
        "DEMO_FAILING": str(failing),
        "DEMO_TOKEN": secrets.token_urlsafe(),
    }
    shutil.copy(HERE / "cutover.toml", folder)
    subprocess.run([sys.executable, "-m", "old.fill"], env=environ, check=True)
    return environ


def command(folder: Path, port: int, more: list[str]) -> list[str]:
    """Return the command that serves it."""
    return [
        *(sys.executable, "-m", "bridge", "serve", "both:app", "--app-dir", str(HERE)),
        *("--workers", "2", "--host", ADDRESS, "--port", str(port)),
        *("--control-socket", str(folder / "ctl"), "--timeout-graceful-shutdown", "2"),
        *("--timeout-request", "30", "--no-access-log", *more),
    ]


def wait_for(server: subprocess.Popen[bytes], port: int, token: bytes, ended: Event) -> bool:
    """Wait until this server answers, and not another one at its port; whether it does."""
    while server.poll() is None and not ended.wait(0.1):
        connection = http.client.HTTPConnection(ADDRESS, port, timeout=10)
        try:
            connection.request("GET", "/demo/")
            if token in connection.getresponse().read():
                return True
        except (OSError, http.client.HTTPException):
            pass  # not yet
        finally:
            connection.close()
    return False


def introduce(port: int, folder: Path) -> None:
    """Say what to open, and open it if there is a screen."""
    url = f"http://{ADDRESS}:{port}/demo/"
    print(
        f"\n  The ramp, live:  {url}\n"
        f"  The shop:        http://{ADDRESS}:{port}/\n"
        f"  By hand:         asgi-bridge cutover status --socket {folder}/ctl\n"
        "\n  Ctrl+C ends it, and leaves nothing behind.\n",
        flush=True,
    )
    opener = shutil.which("xdg-open") or shutil.which("open")
    has_screen = sys.platform == "darwin" or os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}
    if opener and has_screen and sys.stdout.isatty():
        quiet = subprocess.DEVNULL
        subprocess.Popen([opener, url], stdin=quiet, stdout=quiet, stderr=quiet)


def stop(server: subprocess.Popen[bytes]) -> int:
    """End the server, and return its exit code."""
    server.terminate()
    try:
        return server.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()  # its workers end when it is gone
        return server.wait()


if __name__ == "__main__":
    sys.exit(main())
