"""Our server as a Gunicorn worker: its settings obeyed, and no request lost when workers change."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme

from tests.conftest import StartHost
from tests.support.hosts import ROOT, Host, gunicorn
from tests.support.load import Load, long_pauses, short_pauses
from tests.support.raw import Client

WORKER = "bridge.server.gunicorn.BridgeWorker"
APPS = "tests.support.apps.worker"


def serve(start_host: StartHost, app: str = f"{APPS}:mixed", *options: str) -> Host:
    return start_host(gunicorn(app, *options, worker=WORKER))


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} never happened"
        time.sleep(0.02)


def booted(host: Host) -> list[str]:
    return re.findall(r"Booting worker with pid: (\d+)", host.log())


def first_worker(host: Host) -> str:
    """The pid of the only worker."""
    wait_for(lambda: bool(booted(host)), "the first worker")
    (pid,) = booted(host)
    return pid


def exited(host: Host) -> list[str]:
    return re.findall(r"Worker exiting \(pid: (\d+)\)", host.log())


# ------------------------------------------------------------- every kind of app


@pytest.mark.parametrize(
    ("app", "path"),
    [
        (f"{APPS}:asgi", "/"),
        (f"{APPS}:wsgi", "/"),
        (f"{APPS}:Asgi2", "/"),
        (f"{APPS}:mixed", "/"),
        (f"{APPS}:mixed", "/wsgi"),
    ],
)
def test_kinds_of_apps(start_host: StartHost, app: str, path: str) -> None:
    """P10: ASGI 3, ASGI 2 and WSGI apps and Dispatchers are served, told apart by themselves."""
    host = serve(start_host, app)
    with httpx.Client() as client:
        pids = {client.get(host.url(path)).text for _ in range(3)}
    assert pids == set(booted(host))


def test_settings_of_our_own(start_host: StartHost) -> None:
    """P10: what only this server has is set in the environment."""
    command = gunicorn(f"{APPS}:wsgi", worker=WORKER)
    host = start_host(
        command.with_env(
            BRIDGE_RUNNER="inline", BRIDGE_SERVER_HEADER="no", WEB_CONCURRENCY="2", PORT="1"
        )
    )
    response = httpx.get(host.url("/"))
    assert response.status_code == 200
    assert "server" not in response.headers


def test_health(start_host: StartHost) -> None:
    """P10 O1: a path before the app, which is in no access log."""
    command = gunicorn(f"{APPS}:wsgi", "--access-logfile=-", worker=WORKER)
    host = start_host(command.with_env(BRIDGE_HEALTH_PATH="/health"))
    assert httpx.get(host.url("/health")).text == "OK: ready\n"
    assert httpx.get(host.url("/health/live")).text == "OK: live\n"
    assert httpx.get(host.url("/other")).status_code == 200
    wait_for(lambda: "GET /other" in host.log(), "the access log")
    assert "GET /health" not in host.log()


@pytest.mark.parametrize("app", ["app", "wsgi_app"])
def test_targets_that_browsers_send(start_host: StartHost, app: str) -> None:
    """P10, S4: what browsers do not encode reaches apps of both kinds as it came."""
    host = serve(start_host, f"tests.support.apps.echo:{app}", "--access-logfile=-")
    target = b'/a|b%?{"q":"100%"}&x^y`z`\\d=\xe9'
    with Client(host.connect()) as client:
        client.send(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.response().body == b"GET " + target + b" "
    wait_for(lambda: "GET /a|b%?{\\x22q\\x22:" in host.log(), "the line of the access log")


def test_script_name(start_host: StartHost) -> None:
    """P10: SCRIPT_NAME is the path under which a proxy mounts the app, as with Gunicorn."""
    app = "tests.support.apps.connection:wsgi"
    host = serve(start_host, app, "--env", "SCRIPT_NAME=/shop")
    answer = httpx.get(host.url("/shop/a")).json()
    assert (answer["SCRIPT_NAME"], answer["PATH_INFO"]) == ("/shop", "/a")


def test_preload(start_host: StartHost) -> None:
    """P10: an app that was loaded before the fork is served, and reloads as any."""
    host = serve(start_host, f"{APPS}:mixed", "--preload", "--workers", "2")
    for _ in range(2):
        for path in ("/", "/wsgi"):
            assert httpx.get(host.url(path), timeout=20).text in booted(host)
        old = set(booted(host)) - set(exited(host))
        host.process.send_signal(signal.SIGHUP)
        wait_for(lambda old=old: old <= set(exited(host)), "the exit of the old workers")


def test_wrong_setting(start_host: StartHost) -> None:
    """P10: a wrong setting stops Gunicorn, and is told."""
    command = gunicorn(f"{APPS}:wsgi", "--bind=127.0.0.1:0", worker=WORKER)
    argv = [word for word in command.argv if "{port}" not in word]
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "BRIDGE_RUNNER": "tread"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    assert "the worker cannot start: " in done.stderr
    assert "tread" in done.stderr


def test_failed_startup(start_host: StartHost) -> None:
    """P10, S40: an app whose startup fails stops Gunicorn with the app's message."""
    command = gunicorn(f"{APPS}:failing", "--bind=127.0.0.1:0", worker=WORKER)
    argv = [word for word in command.argv if "{port}" not in word]
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    assert "no database" in done.stderr


# ------------------------------------------------------------- settings


def test_keepalive(start_host: StartHost) -> None:
    """P10: an idle connection is closed after `keepalive` seconds, not before."""
    host = serve(start_host, f"{APPS}:asgi", "--keep-alive", "3")
    with host.connect(timeout=20) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        sock.settimeout(1.5)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(20)
        assert sock.recv(1) == b""


def test_forwarded_allow_ips(start_host: StartHost) -> None:
    """P10: proxies are believed as `forwarded_allow_ips` says."""
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    app = "tests.support.apps.connection:asgi"
    host = serve(start_host, app)
    assert httpx.get(host.url("/"), headers=headers).json()["client"][0] == "203.0.113.9"
    host = serve(start_host, app, "--forwarded-allow-ips", "10.0.0.1")
    answer = httpx.get(host.url("/"), headers=headers).json()
    assert answer["client"][0] == "127.0.0.1"
    assert answer["scheme"] == "http"


def test_a_proxy_that_is_not_named(start_host: StartHost) -> None:
    """P10, S30: `proxy_allow_ips` is obeyed: a PROXY header from others is not believed."""
    host = serve(
        start_host, "tests.support.apps.connection:asgi",
        "--proxy-protocol", "--proxy-allow-from=10.9.9.9",
    )  # fmt: skip
    with host.connect() as sock:
        try:
            sock.sendall(
                b"PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"
            )
            assert sock.recv(100) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass


def test_limit_of_a_field(start_host: StartHost) -> None:
    """P10, S2: `limit_request_field_size` is obeyed."""
    host = serve(start_host, f"{APPS}:asgi", "--limit-request-field_size=100")
    with httpx.Client() as client:
        assert client.get(host.url("/"), headers={"X": "y" * 97}).status_code == 200
        assert client.get(host.url("/"), headers={"X": "y" * 98}).status_code == 431


def test_a_setting_that_is_refused() -> None:
    """P10: a setting that concerns safety and is not obeyed stops Gunicorn, and is told."""
    command = gunicorn(f"{APPS}:wsgi", "--header-map=dangerous", worker=WORKER)
    argv = [word.replace("{port}", "0") for word in command.argv]
    done = subprocess.run(
        argv, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3
    assert "the worker cannot start: Gunicorn's header_map is 'dangerous'" in done.stderr


def test_proxy_protocol(start_host: StartHost) -> None:
    """P10: `proxy_protocol` is obeyed."""
    host = serve(start_host, "tests.support.apps.connection:asgi", "--proxy-protocol", "auto")
    with host.connect() as sock:
        sock.sendall(
            b"PROXY TCP4 203.0.113.9 198.51.100.1 51234 443\r\n"
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        answer = b""
        while data := sock.recv(65536):
            answer += data
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["client"] == ["203.0.113.9", 51234]


def test_limits(start_host: StartHost) -> None:
    """P10: limits on the request that Gunicorn was given are ours; its defaults are not."""
    host = serve(
        start_host,
        f"{APPS}:asgi",
        *("--limit-request-line", "200", "--limit-request-fields", "10"),
    )
    assert httpx.get(host.url("/" + "x" * 300)).status_code == 414
    assert httpx.get(host.url("/"), headers={f"x-{n}": "y" for n in range(20)}).status_code == 431
    host = serve(start_host, f"{APPS}:asgi")
    assert httpx.get(host.url("/" + "x" * 5000)).status_code == 200


def test_unix_socket(start_host: StartHost, tmp_path: Path) -> None:
    """P10, S30: Gunicorn's Unix socket is served, and stays Gunicorn's when a worker goes."""
    path = tmp_path / "app.sock"
    host = serve(start_host, f"{APPS}:asgi", f"--bind=unix:{path}")
    transport = httpx.HTTPTransport(uds=str(path))
    with httpx.Client(transport=transport) as client:
        first = client.get("http://localhost/").text
    host.process.send_signal(signal.SIGHUP)
    wait_for(lambda: first in exited(host), "the exit of the first worker")
    assert path.exists()
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
        assert client.get("http://localhost/").text != first


def test_access_log(start_host: StartHost) -> None:
    """P10: the access log is Gunicorn's: off by default, its file, its format."""
    host = serve(start_host, f"{APPS}:mixed")
    httpx.get(host.url("/quiet"))
    httpx.get(host.url("/wsgi/quiet"))
    format = "%(h)s %(m)s %(U)s %(q)s %(s)s %({user-agent}i)s %({content-type}o)s %(p)s %(D)s"
    loud = serve(
        start_host,
        f"{APPS}:mixed",
        *("--access-logfile", "-", "--access-logformat", f"line={format}"),
    )
    for path in ("/a", "/wsgi/b"):
        httpx.get(loud.url(f"{path}?0"), headers={"User-Agent": "me"})
    wait_for(lambda: loud.log().count("line=") == 2, "two lines")
    for path, line in zip(("/a", "/wsgi/b"), re.findall(r"line=(.*)", loud.log()), strict=True):
        assert re.fullmatch(rf"127\.0\.0\.1 GET {path} 0 200 me text/plain <\d+> \d+", line)
    assert "quiet" not in host.log()


def test_access_log_reopened(start_host: StartHost, tmp_path: Path) -> None:
    """P10: SIGUSR1 has the workers open their log files again."""
    log = tmp_path / "access.log"
    host = serve(start_host, f"{APPS}:asgi", "--access-logfile", str(log))
    httpx.get(host.url("/one"))
    wait_for(lambda: "/one" in log.read_text(), "the first line")
    log.rename(tmp_path / "old.log")
    host.process.send_signal(signal.SIGUSR1)
    wait_for(log.exists, "a new file")

    def logged_anew() -> bool:
        httpx.get(host.url("/two"))
        return "/two" in log.read_text()

    wait_for(logged_anew, "a line in the new file")


LOGGER = """
from gunicorn.glogging import Logger

class Own(Logger):
    def access(self, resp, req, environ, request_time):
        if req.path == "/broken":
            raise LookupError("no such place")
        self.error("own log: %s %s %s %s %s", req.method, req.uri, resp.status,
                   environ["REMOTE_ADDR"], request_time.total_seconds() >= 0)
"""


def test_logger_class(start_host: StartHost, tmp_path: Path) -> None:
    """P10: a logger class with an access log of its own is called for each request."""
    (tmp_path / "own_logger.py").write_text(LOGGER)
    host = serve(
        start_host,
        f"{APPS}:asgi",
        *("--pythonpath", str(tmp_path), "--logger-class", "own_logger.Own"),
        *("--access-logfile", "-"),
    )
    httpx.get(host.url("/x?0"))
    wait_for(lambda: "own log: GET /x?0 200 127.0.0.1 True" in host.log(), "the line")
    assert httpx.get(host.url("/broken")).status_code == 200
    wait_for(lambda: "LookupError: no such place" in host.log(), "the error")
    assert "the logger class could not take a request" in host.log()


def test_errors_go_to_gunicorn_s_log(start_host: StartHost, tmp_path: Path) -> None:
    """P10: what the server says is in Gunicorn's error log."""
    log = tmp_path / "error.log"
    host = serve(start_host, f"{APPS}:asgi", "--error-logfile", str(log), "--log-level", "debug")
    with host.connect() as sock:
        sock.sendall(b"nonsense\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 400 ")
    wait_for(lambda: "nonsense" in log.read_text(), "the line")


# ------------------------------------------------------------- TLS


@dataclass
class Certificates:
    """A certificate for 127.0.0.1 in files, and a client's view of its authority."""

    ca: trustme.CA
    options: tuple[str, ...]
    cafile: str


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    ca = trustme.CA()
    leaf = ca.issue_cert("127.0.0.1")
    cert, key, authority = (str(tmp_path / name) for name in ("cert.pem", "key.pem", "ca.pem"))
    leaf.cert_chain_pems[0].write_to_path(cert)
    leaf.private_key_pem.write_to_path(key)
    ca.cert_pem.write_to_path(authority)
    return Certificates(ca, ("--certfile", cert, "--keyfile", key), authority)


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_tls(start_host: StartHost, certificates: Certificates, kind: str) -> None:
    """P10, S31: Gunicorn's certificate and key are ours."""
    app = f"tests.support.apps.connection:{kind}"
    host = serve(start_host, app, *certificates.options)
    context = ssl.create_default_context(cafile=certificates.cafile)
    with httpx.Client(verify=context) as client:
        for _ in range(2):
            answer = client.get(host.url("/", "https")).json()
            assert answer.get("scheme", answer.get("wsgi.url_scheme")) == "https"


def test_client_certificates(start_host: StartHost, certificates: Certificates) -> None:
    """P10, S31: `ca_certs` and `cert_reqs` are obeyed."""
    host = serve(
        start_host,
        "tests.support.apps.connection:asgi",
        *certificates.options,
        *("--ca-certs", certificates.cafile, "--cert-reqs", "2"),
    )
    context = ssl.create_default_context(cafile=certificates.cafile)
    with pytest.raises(httpx.TransportError):
        httpx.get(host.url("/", "https"), verify=context)
    certificates.ca.issue_cert("me@example.org", common_name="Me").configure_cert(context)
    answer = httpx.get(host.url("/", "https"), verify=context).json()
    assert answer["tls"]["client_cert_name"].startswith("CN=Me")


HOOK = """
import ssl

def ssl_context(conf, default_ssl_context_factory):
    context = default_ssl_context_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
"""


def test_ssl_context_hook(
    start_host: StartHost, certificates: Certificates, tmp_path: Path
) -> None:
    """P10: Gunicorn's hook may change the context."""
    config = tmp_path / "gunicorn_conf.py"
    config.write_text(HOOK)
    host = serve(start_host, f"{APPS}:asgi", *certificates.options, "--config", str(config))
    context = ssl.create_default_context(cafile=certificates.cafile)
    assert httpx.get(host.url("/", "https"), verify=context).status_code == 200
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx.TransportError):
        httpx.get(host.url("/", "https"), verify=context)


# ------------------------------------------------------------- stopping


def test_graceful_stop(start_host: StartHost) -> None:
    """P10: SIGTERM lets a request in flight be answered, and runs the app's shutdown."""
    host = serve(start_host, f"{APPS}:slow_start")
    assert httpx.get(host.url("/")).status_code == 200
    with host.connect(timeout=20) as sock:
        sock.sendall(b"GET /wait?1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert httpx.get(host.url("/")).status_code == 200  # so that the other has been read
        host.process.send_signal(signal.SIGTERM)
        answer = sock.recv(1000)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer.lower()
    assert host.stop() == 0
    assert "shutdown of the app" in host.log()


def test_idle_connections_do_not_hold_up_the_end_for_long(start_host: StartHost) -> None:
    """P10: with idle clients a worker ends within its `keepalive` time, and exits cleanly."""
    host = serve(start_host, f"{APPS}:asgi", "--keep-alive", "1")
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            sock = stack.enter_context(host.connect())
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            sock.recv(1000)
        assert host.stop(timeout=10) == 0
    assert "cut " not in host.log()


def test_graceful_timeout(start_host: StartHost) -> None:
    """P10: a request that outlasts `graceful_timeout` is cut, and the worker ends in time."""
    host = serve(start_host, f"{APPS}:asgi", "--graceful-timeout", "2")
    first_worker(host)
    with host.connect(timeout=30) as sock:
        sock.sendall(b"GET /wait?60 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert httpx.get(host.url("/")).status_code == 200  # so that the other has been read
        assert host.stop(timeout=15) == 0
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(100) == b""
    assert "cut 1 request that was still busy" in host.log()


@pytest.mark.parametrize("options", [(), ("--max-requests", "1")], ids=["HUP", "max-requests"])
def test_work_after_the_response(start_host: StartHost, options: tuple[str, ...]) -> None:
    """P10 P2: a worker that retires finishes what handlers do after their responses."""
    host = serve(start_host, "tests.support.apps.stopping:asgi", *options)
    assert httpx.get(host.url("/work")).text == "taken"
    if not options:
        host.process.send_signal(signal.SIGHUP)
    wait_for(lambda: bool(exited(host)), "the exit of the old worker")
    assert "done: the pool is open" in host.log()
    assert "cleaned: the pool is open" in host.log()


def test_a_shutdown_that_fails_does_not_stop_gunicorn(
    start_host: StartHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P10 S40: the code of a worker that cannot start would end all of them."""
    monkeypatch.setenv("LIFE", "fails at the end")
    host = serve(start_host, "tests.support.apps.living:app")
    assert httpx.get(host.url("/")).status_code == 200
    host.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(booted(host)) == 2 and bool(exited(host)), "a new worker")
    wait_for(lambda: "the queue is not flushed" in host.log(), "the reason")
    assert httpx.get(host.url("/")).status_code == 200
    assert host.stop() == 0


def test_children_of_a_worker_can_be_terminated(
    start_host: StartHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P10 P2: a child that the app forks in a worker is no worker, and heeds SIGTERM."""
    (tmp_path / "forking.py").write_text(
        "import os, signal, time\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        time.sleep(1000)\n"
        "    os.kill(pid, signal.SIGTERM)\n"
        "    return [str(os.waitpid(pid, 0)[1]).encode()]\n"
    )
    host = serve(start_host, "forking:app", "--chdir", str(tmp_path))
    assert httpx.get(host.url("/"), timeout=20).text == str(int(signal.SIGTERM))


def test_quick_stop(start_host: StartHost) -> None:
    """P10: SIGINT waits for nobody."""
    host = serve(start_host, f"{APPS}:asgi")
    first_worker(host)
    with host.connect(timeout=30) as sock:
        sock.sendall(b"GET /wait?60 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert httpx.get(host.url("/")).status_code == 200  # so that the other has been read
        host.process.send_signal(signal.SIGINT)
        assert host.process.wait(10) == 0


def test_a_quick_stop_behind_a_slow_one(start_host: StartHost) -> None:
    """P10: SIGQUIT cuts what SIGTERM lets go on."""
    host = serve(start_host, f"{APPS}:asgi", "--keep-alive", "60")
    worker = int(first_worker(host))
    with Client(host.connect(timeout=30)) as other, host.connect(timeout=30) as waiting:
        waiting.sendall(b"GET /wait?60 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert other.get("/").status == 200  # so that the one before it has been read
        os.kill(worker, signal.SIGTERM)
        wait_for(lambda: other.get("/").closes, "the retirement")
        os.kill(worker, signal.SIGQUIT)
        with contextlib.suppress(ConnectionResetError):
            assert waiting.recv(1000) == b""
    wait_for(lambda: str(worker) in exited(host), "the exit of the worker")


# ------------------------------------------------------------- the heartbeat


def test_a_blocked_worker_is_replaced(start_host: StartHost) -> None:
    """P10: a worker whose loop stands still is told where, and replaced after `timeout`."""
    host = serve(start_host, f"{APPS}:asgi", "--timeout", "2")
    first = first_worker(host)
    with host.connect(timeout=30) as sock:
        sock.sendall(b"GET /block?60 HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: len(booted(host)) == 2, "the replacement")
    assert httpx.get(host.url("/"), timeout=20).text == booted(host)[1] != first
    assert "WORKER TIMEOUT" in host.log()
    assert "the worker was blocked here" in host.log()
    assert "time.sleep(seconds)" in host.log()


def test_a_busy_worker_is_not_replaced(start_host: StartHost) -> None:
    """P10: a worker that has much to do, in its loop or in its threads, keeps its place."""
    host = serve(start_host, f"{APPS}:mixed", "--timeout", "2")
    first = first_worker(host)
    with httpx.Client(timeout=30) as client, host.connect(timeout=30) as sock:
        sock.sendall(b"GET /wsgi/wait?5 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.get(host.url("/burn?5")).text == first
        assert sock.recv(1000).endswith(first.encode())
    assert booted(host) == [first]


def test_a_starting_worker_is_not_replaced(start_host: StartHost) -> None:
    """P10: a startup that takes longer than `timeout` is let finish."""
    host = serve(start_host, f"{APPS}:slow_start", "--timeout", "2")
    first = first_worker(host)
    assert httpx.get(host.url("/"), timeout=20).text == first


def test_workers_die_with_their_parent(start_host: StartHost) -> None:
    """P10: when Gunicorn's master is killed, its workers end."""
    host = serve(start_host, f"{APPS}:asgi")
    host.process.kill()
    host.process.wait()

    def refused() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex((host.address, host.port)) != 0

    wait_for(refused, "the end of the worker")


# ------------------------------------------------------------- changing workers under load


async def rolling(host: Host, load: Load, times: int) -> None:
    """SIGHUP, and wait until all workers are new, `times` times, while `load` goes on."""
    async with load.running(clients=20):
        await load.more(30)
        for _ in range(times):
            old = set(booted(host)) - set(exited(host))
            host.process.send_signal(signal.SIGHUP)
            await load.until(lambda old=old: old <= set(exited(host)))
            await load.more(30)


@pytest.mark.slow
@pytest.mark.parametrize("pauses", [short_pauses, long_pauses])
def test_reload_loses_no_request(start_host: StartHost, pauses: Callable[[], float]) -> None:
    """P10: five reloads under load from keep-alive clients, and every request is answered."""
    host = serve(start_host, f"{APPS}:mixed", "--workers", "2")
    load = Load(host, ["/", "/wsgi"], pauses)
    asyncio.run(rolling(host, load, 5))
    assert load.failed == []
    assert load.told_to_close > 0
    assert len(booted(host)) >= 12
    assert "Traceback" not in host.log()
    assert "cut " not in host.log()


@pytest.mark.parametrize("path", ["/", "/wsgi-echo"])
def test_reload_with_websockets(start_host: StartHost, path: str) -> None:
    """P10: WebSockets are closed with 1012 at a reload, and can connect again at once."""
    host = serve(start_host, f"{APPS}:mixed", "--workers", "2")
    load = Load(host, ["/"], short_pauses)
    load.socket_paths = [path]

    async def rolling_with_sockets() -> None:
        async with load.running(clients=5, sockets=10):
            for _ in range(5):
                await load.until(lambda goal=load.echoed + 100: load.echoed >= goal)
                old = set(booted(host)) - set(exited(host))
                host.process.send_signal(signal.SIGHUP)
                await load.until(lambda old=old: old <= set(exited(host)))

    asyncio.run(rolling_with_sockets())
    assert load.failed == []
    assert load.restarted >= 5
    assert "Traceback" not in host.log()
    assert "cut " not in host.log()


def test_max_requests_loses_no_request(start_host: StartHost) -> None:
    """P10: workers that retire after `max_requests` lose no request of keep-alive clients."""
    host = serve(
        start_host,
        f"{APPS}:mixed",
        *("--workers", "2", "--max-requests", "500", "--max-requests-jitter", "50"),
    )
    load = Load(host, ["/", "/wsgi"], short_pauses)
    load.socket_paths = ["/"]

    async def through_several_workers() -> None:
        async with load.running(clients=20, sockets=4):
            await load.until(lambda: len(exited(host)) >= 4)
            await load.more(200)

    asyncio.run(through_several_workers())
    assert load.failed == []
    assert "Traceback" not in host.log()
    for pid in exited(host):
        assert load.bodies[pid] >= 500
