"""Variables of uvicorn and Gunicorn: what to set instead (O5)."""

from __future__ import annotations

import pytest

from bridge.server.config.other_servers import advice

NOTHING = "; every option of this one is also BRIDGE_OPTION in the environment"


def gunicorn(arguments: str) -> str:
    """What is said about these arguments, behind the name of the variable."""
    line = advice({"GUNICORN_CMD_ARGS": arguments}, ())
    assert line is not None
    return line.removeprefix("ignored: GUNICORN_CMD_ARGS, of another server")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--graceful-timeout 60", "BRIDGE_TIMEOUT_GRACEFUL_SHUTDOWN=60"),
        ("--graceful-timeout=60", "BRIDGE_TIMEOUT_GRACEFUL_SHUTDOWN=60"),
        ("-w4", "BRIDGE_WORKERS=4"),
        ("-w 4 --threads 2", "BRIDGE_WORKERS=4 BRIDGE_THREADS=2"),
        ("-b a:1 -b=b:2", "BRIDGE_BIND=a:1,b:2"),
        ("--bind a:1 --bind b:2 shop:app", "BRIDGE_BIND=a:1,b:2 BRIDGE_APP=shop:app"),
        ("--proxy-protocol --threads 2", "BRIDGE_PROXY_PROTOCOL=yes BRIDGE_THREADS=2"),
        ("--proxy-protocol=off", "BRIDGE_PROXY_PROTOCOL=no"),
        ("--proxy-protocol=v1", "BRIDGE_PROXY_PROTOCOL=yes"),
        ("--access-logformat '%(h)s %(s)s'", "BRIDGE_ACCESS_LOG_FORMAT='%(h)s %(s)s'"),
        ("-c /etc/g.py", "BRIDGE_CONFIG=/etc/g.py"),
    ],
)
def test_options_with_an_equivalent(arguments: str, said: str) -> None:
    """O5: each as a variable that can be pasted; several values of one are joined."""
    assert gunicorn(arguments) == f"; say instead {said}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("-D", "; -D: it stays in the foreground; have systemd or your container do it"),
        ("--spew -D", "; --spew: use a debugger; -D: it stays in the foreground; have systemd or"),
        ("--user joe --threads 2", "; say instead BRIDGE_THREADS=2; --user: have systemd or your"),
        ("-k gthread", "; -k is 'gthread'; allowed is one of thread, greenlet, inline"),
        ("--chdir /x", "; --chdir: change the directory before the start, or say --app-dir PATH"),
        ("--unheard-of 3", NOTHING),
        ("'not closed", NOTHING),
        ("--threads", "; --threads is ''; allowed is a whole number, at least 1"),
    ],
)
def test_options_without_one(arguments: str, said: str) -> None:
    """O5: what is said about the option itself is said here, too; what nobody knows is left out."""
    assert gunicorn(arguments).startswith(said)


def test_variables_of_uvicorn() -> None:
    """O5: one line for all; secrets are not repeated, and what is empty is not set."""
    environ = {
        "UVICORN_APP": "shop:app",
        "UVICORN_ACCESS_LOG": "false",
        "UVICORN_LOOP": "uvloop",
        "UVICORN_SSL_KEYFILE_PASSWORD": "sesame",
        "UVICORN_UDS": "/run/x.sock",
        "UVICORN_PORT": "",
        "PATH": "/bin",
    }
    assert advice(environ, ()) == (
        "ignored: UVICORN_ACCESS_LOG, UVICORN_APP, UVICORN_LOOP, UVICORN_SSL_KEYFILE_PASSWORD, "
        "UVICORN_UDS, of another server; say instead BRIDGE_ACCESS_LOG=no BRIDGE_APP=shop:app "
        "BRIDGE_SSL_KEYFILE_PASSWORD=... BRIDGE_BIND=unix:/run/x.sock; --loop: leave it out: the "
        "loop is uvloop's, where there is one, and else asyncio's"
    )


def test_what_this_server_was_told_is_not_advised() -> None:
    """O5: a container that is set up for both is told of the rest alone."""
    environ = {"UVICORN_PORT": "9000", "UVICORN_WORKERS": "4"}
    line = "ignored: UVICORN_PORT, UVICORN_WORKERS, of another server"
    assert advice(environ, {"port"}) == f"{line}; say instead BRIDGE_WORKERS=4"
    assert advice(environ, {"port", "workers"}) == f"{line}{NOTHING}"
    assert advice({"PATH": "/bin"}, ()) is None
