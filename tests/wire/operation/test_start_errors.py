"""What an operator is told when a server does not start: one line that says what to do (O6).

No traceback for a typing error in a command, a variable or a file; the app's own for its own error.
Each run is a real process.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support import hosts

FILES = {
    "shop.py": """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"shop"]

value = 5

def create_app(name):
    raise RuntimeError(f"no database for {name}")

async def failing(scope, receive, send):
    raise RuntimeError("no redis")

async def refusing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no licence"})
""",
    "broken.py": "def half(:\n",
    "needing.py": "import nothing_like_it\n",
    "leaving.py": "raise SystemExit('no settings')\n",
    "bad.toml": "port = \n",
    "unknown.toml": "prot = 1\n",
    "table.toml": "[server]\nport = 1\n",
    "log.json": '{"version": 5}',
    "log.ini": "[loggers]\n",
    "junk.pem": "junk\n",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with apps, settings and certificates, most of them wrong."""
    directory = tmp_path_factory.mktemp("place")
    for name, text in FILES.items():
        (directory / name).write_text(text)
    authority = trustme.CA()
    for name in ("one", "two"):
        made = authority.issue_cert("localhost")
        made.cert_chain_pems[0].write_to_path(directory / f"{name}.crt")
        made.private_key_pem.write_to_path(directory / f"{name}.key")
    return directory


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another process listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def start(place: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`asgi-bridge serve` with these arguments, until it ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "bridge", "serve", *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(hosts.ROOT), "BRIDGE_PORT": "0", **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines with the error."""
    return [line for line in done.stderr.splitlines() if line.startswith("Error: ")]


# ------------------------------------------------------------- 2: the operator's words

SETTINGS: list[tuple[str, str]] = [
    ("", "no app is named; say module:attr"),
    ("shop:app --port http", "--port is 'http'; allowed is a whole number from 0 to 65535"),
    ("shop:app --workers 0", "--workers is '0'; allowed is auto, or a whole number from 1 to 1000"),
    (
        "shop:app --workers 10001",
        "--workers is '10001'; allowed is auto, or a whole number from 1 to 1000",
    ),
    ("shop:app -p 8000", "--pid is '8000', the file for the number of the process; for the port"),
    ("shop:app -w abc", "--workers is 'abc'; allowed is auto, or a whole number from 1 to 1000"),
    ("shop:app -k fork", "--runner is 'fork'; allowed is one of thread, greenlet, inline"),
    ("shop:app --threads 0", "--threads is '0'; allowed is a whole number, at least 1"),
    ("shop:app --log-level loud", "--log-level is 'loud'; allowed is one of critical, error,"),
    ("shop:app --timeout-body 5y", "--timeout-body is '5y'; allowed is a number of seconds, at "),
    ("shop:app --limit-body-size 5T", "--limit-body-size is '5T'; allowed is a number of bytes"),
    ("shop:app --access-log-format fancy", "access_log_format is 'fancy'; give default, common"),
    ("shop:app --access-log-format %(zz)s", "access_log_format has '%(zz)s', which is no atom"),
    ("shop:app --forwarded-allow-ips x.y", "forwarded_allow_ips has 'x.y'; give addresses"),
    ("shop:app --log-config log.ini", "log_config log.ini is of no known kind; give .toml, .json"),
    ("shop:app --log-config log.json", "log.json is no configuration of Python's logging (Unsup"),
    ("shop:app --log-config no.toml", "log_config no.toml cannot be read: No such file or direct"),
    ("shop:app --log-file no/log", "--log-file is 'no/log', which cannot be opened: No such file"),
    ("shop:app --app-dir no", "app_dir is 'no', and "),
    ("shop:app --chdir no", "--chdir is '/"),
    ("shop:app --env A", "--env is 'A'; allowed is NAME=VALUE"),
    ("shop:app --env-file no", "--env-file no cannot be read: No such file or directory"),
    ("shop:app -c no.toml", "cannot read no.toml: No such file or directory; name a TOML f"),
    ("shop:app -c bad.toml", "bad.toml is not TOML: Invalid value (at line 1, column 8)"),
    ("shop:app -c unknown.toml", "prot in unknown.toml is not a setting; did you mean port?"),
    ("shop:app -c table.toml", "server in table.toml is a table that is not read; settings are"),
    ("shop:app --mount new:app", "--mount is 'new:app'; allowed is PATH=APP, such as /=old:app"),
    ("shop:app --mount /=shop:app", "both an app ('shop:app') and mounts"),
    ("--mount /=shop:app --mount /=shop:app", "/ is mounted twice; give each app a place of its"),
    ("--mount /=wsg:shop:app", "'wsg' in the mount /=wsg:shop:app is no kind of app"),
    ("shop:app --bind nowhere", "cannot bind to 'nowhere'; give host:port, [::1]:port, unix:path"),
    ("shop:app --bind unix:", "cannot bind to 'unix:'; give the path of the socket"),
    ("shop:app --uds no/x", "cannot listen on unix:no/x: its directory does not exist; make it"),
    ("shop:app --uds shop.py", "cannot listen on unix:shop.py: a file that is no socket is in the"),
    ("shop:app --fd x", "cannot bind to 'fd://x'; give the number of the descriptor: fd://3"),
    ("shop:app --fd 77", "cannot listen on fd://77: descriptor 77 is no socket of this process"),
    ("shop:app --host no.invalid", "cannot bind to no.invalid:0: the host 'no.invalid' is unknow"),
    ("shop:app --host 192.0.2.1", "cannot listen on 192.0.2.1:0: this machine has no such addres"),
    ("shop:app --ssl-keyfile one.key", "--ssl-keyfile is given without --ssl-certfile; TLS needs"),
    ("shop:app --certfile no.crt", "ssl_certfile no.crt cannot be read: No such file or directory"),
    ("shop:app --certfile one.crt", "one.crt holds no private key; give the key's file with --ss"),
    (
        "shop:app --certfile junk.pem --keyfile one.key",
        "no certificate and key can be read from junk.pem",
    ),
    (
        "shop:app --certfile one.crt --keyfile junk.pem",
        "no certificate and key can be read from one.crt",
    ),
    (
        "shop:app --certfile one.crt --keyfile two.key",
        "the key in two.key is not that of the certificate in one.crt",
    ),
    ("shop:app --certfile one.crt --keyfile one.key --ciphers X", "ssl_ciphers is 'X', in which"),
]


@pytest.mark.parametrize(("arguments", "said"), SETTINGS)
def test_wrong_words(place: Path, arguments: str, said: str) -> None:
    """O6: 2, and one line: what was seen, what is allowed, or what to do."""
    done = start(place, *arguments.split())
    assert done.returncode == 2, done.stderr
    (line,) = errors(done)
    assert line.startswith(f"Error: {said}")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("BRIDGE_THREADS", "none", "BRIDGE_THREADS is 'none'; allowed is a whole number"),
        ("PORT", "http", "PORT is 'http'; allowed is a whole number from 0 to 65535"),
        ("WEB_CONCURRENCY", "many", "WEB_CONCURRENCY is 'many'; allowed is auto, or a whole"),
        ("BRIDGE_CONFIG", "no.toml", "cannot read no.toml: No such file or directory"),
    ],
)
def test_wrong_variables(place: Path, variable: str, value: str, said: str) -> None:
    """O6: the line names the variable, which its user may not know."""
    done = start(place, "shop:app", **{"BRIDGE_PORT": "", variable: value})
    assert done.returncode == 2, done.stderr
    (line,) = errors(done)
    assert line.startswith(f"Error: {said}")
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------- 1: something outside


def test_a_port_in_use(place: Path, taken: int) -> None:
    """O6: 1, because that may be over soon; the line says how to find who has it."""
    done = start(place, "shop:app", "--port", str(taken))
    assert done.returncode == 1
    (line,) = errors(done)
    assert line.startswith(f"Error: cannot listen on 127.0.0.1:{taken}: another process listens")
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------- 3: the app

NAMES: list[tuple[str, str]] = [
    ("shop:ap", "shop has no attribute 'ap' (it is "),
    ("shoop:app", "there is no module 'shoop' in "),
    ("shop.app:app", "there is no module 'shop.app' in "),
    ("shop.py", "'shop.py' is a file; name the module instead, such as shop:app"),
    ("shop:", "'shop:' names no app; say module:attr, such as main:app"),
    ("shop:value", "shop:value is 5, which cannot be called; an app is callable"),
    ("shop:create_app(x)", "'shop:create_app(x)' is no call that can be read; say module:function"),
    ("shop:create_app()", "calling shop:create_app() failed: TypeError: create_app() missing 1"),
    ("shop:create_app", "the function shop.create_app is a callable that takes (name)"),
    ("shop:refusing --lifespan on", "startup failed: no licence"),
]


@pytest.mark.parametrize(("arguments", "said"), NAMES)
def test_wrong_names_of_apps(place: Path, arguments: str, said: str) -> None:
    """O6: 3, and one line without a traceback: no code of the app has raised."""
    done = start(place, *arguments.split())
    assert done.returncode == 3, done.stderr
    (line,) = errors(done)
    assert line.startswith(f"Error: {said}")
    assert "Traceback" not in done.stderr


FAULTS: list[tuple[str, str, str]] = [
    ("broken:app", "def half(:", "importing broken failed: SyntaxError: invalid syntax"),
    ("needing:app", "import nothing_like_it", "importing needing failed: No module named 'nothing"),
    ("leaving:app", "raise SystemExit('no settings')", "importing leaving failed: SystemExit: no"),
    (
        "shop:create_app('eu')",
        'raise RuntimeError(f"no database for {name}")',
        "calling shop:create_app('eu') failed: RuntimeError: no database for eu",
    ),
    (
        "shop:failing --lifespan on",
        'raise RuntimeError("no redis")',
        "the app raised RuntimeError('no redis') at lifespan.startup",
    ),
]


#: What a worker finds, and what the supervisor finds.
SEVERAL: list[tuple[str, int, str]] = [
    ("shop:ap", 3, "shop has no attribute 'ap' (it is "),
    ("needing:app", 3, "importing needing failed: No module named 'nothing_like_it'"),
    ("shop:refusing --lifespan on", 3, "startup failed: no licence"),
    ("shop:failing --lifespan on", 3, "the app raised RuntimeError('no redis') at lifespan.start"),
    ("shop:app --certfile one.crt --keyfile two.key", 2, "the key in two.key is not that of the"),
    ("shop:app --forwarded-allow-ips x.y", 2, "forwarded_allow_ips has 'x.y'; give addresses"),
    ("shop:app --access-log-format fancy", 2, "access_log_format is 'fancy'; give default,"),
    ("shop:app --log-config log.json", 2, "log.json is no configuration of Python's logging"),
    ("shop:app --log-file no/log", 2, "--log-file is 'no/log', which cannot be opened"),
    ("shop:app --bind nowhere", 2, "cannot bind to 'nowhere'; give host:port, [::1]:port,"),
    ("shop:app --on-start nowhere:hook", 3, "on_start: there is no module 'nowhere' in "),
    ("shop:app --post-fork shop:hook", 3, "post_fork: shop has no attribute 'hook' (it is "),
    ("shop:app --worker-exit shop:value", 3, "worker_exit: shop:value is 5; a hook is a plain f"),
    ("shop:app --on-start hook", 2, "--on-start is 'hook'; allowed is a function, such as deploy"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), SEVERAL)
def test_several_workers_say_it_once(place: Path, arguments: str, code: int, said: str) -> None:
    """O6, P1: the first worker ends the server with its code; the line comes once."""
    done = start(place, "-w", "2", *arguments.split())
    assert done.returncode == code, done.stderr
    (line,) = errors(done)
    assert line.startswith(f"Error: {said}")
    assert done.stderr.count(line.removeprefix("Error: ")) == 1
    assert f"{os.sep}bridge{os.sep}" not in done.stderr


def test_several_workers_at_a_port_in_use(place: Path, taken: int) -> None:
    """O6, P1: no worker is forked; 1."""
    done = start(place, "-w", "2", "shop:app", "--port", str(taken))
    assert done.returncode == 1
    (line,) = errors(done)
    assert line.startswith(f"Error: cannot listen on 127.0.0.1:{taken}: another process listens")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("arguments", "shown", "said"), FAULTS)
def test_faults_of_apps(place: Path, arguments: str, shown: str, said: str) -> None:
    """O6: 3, the app's own line in its traceback, once, and one line that says what failed."""
    done = start(place, *arguments.split())
    assert done.returncode == 3, done.stderr
    assert done.stderr.count(shown) == 1
    (line,) = errors(done)
    assert line.startswith(f"Error: {said}")
    assert f"{os.sep}bridge{os.sep}" not in done.stderr
