"""The table of scenarios: what is asked, of which rows, and which figures are shown."""

from __future__ import annotations

from dataclasses import dataclass

from bench.apps import files, large, stream
from bench.load.requests import Request
from bench.measure import samples, shadowed
from bench.measure.figures import Column
from bench.measure.samples import Measure, Row
from bench.peers.servers import THREADS

LOAD_COLUMNS = (
    Column("cpu_us", "CPU us/request", 1),
    Column("rate", "requests/s"),
    Column("p99_us", "p99 ms", 2, 1e-3),
    Column("server_busy", "server busy %", 0, 100),
    Column("load_busy", "load busy %", 0, 100),
    Column("others_busy", "others %", 0, 100),
)
#: Where the app computes too, the rate says more than the CPU, which is spent whatever is served.
BESIDE_WORK_COLUMNS = (*LOAD_COLUMNS[1:], LOAD_COLUMNS[0])


HELLO = Request()
BROWSER = Request("/items/", browser=True)
#: How the descriptions name the two loads.
SAME, DIFFERENT = "the same head again and again", "heads as browsers send them, no two the same"


@dataclass(frozen=True)
class Scenario:
    about: str
    rows: tuple[Row, ...]
    request: Request = HELLO
    measure: Measure = samples.http_load
    columns: tuple[Column, ...] = LOAD_COLUMNS


MESSAGE_COLUMNS = (
    Column("cpu_us", "CPU us/message", 1),
    Column("rate", "messages/s"),
    Column("server_busy", "server busy %", 0, 100),
    Column("load_busy", "load busy %", 0, 100),
    Column("others_busy", "others %", 0, 100),
)
IDLE_COLUMNS = (
    Column("connection_bytes", "bytes per idle connection"),
    Column("worker_mb", "worker MB", 1),
    Column("all_mb", "all processes MB", 1),
)
TRANSFER_COLUMNS = tuple(
    Column(f"{way}_{figure}", f"{way} {label}", digits)
    for way in ("upload", "download")
    for figure, label, digits in (
        ("growth_mb", "MB more", 1),
        ("seconds", "s", 2),
        ("cpu", "CPU s", 2),
    )
)

_ASGI_SERVERS = (
    "bridge",
    "uvicorn",
    "granian",
    "peregrine",
    "weft",
    "fastpysgi",
    "hypercorn",
    "gunicorn asgi",
)
_FRAMEWORK_WSGI = (
    "bridge thread",
    "bridge greenlet",
    "granian wsgi 1",
    "granian wsgi 8",
    "peregrine wsgi 1",
    "peregrine wsgi 8",
    "gunicorn gthread",
)
_FRAMEWORK_ASGI = ("bridge", "uvicorn", "granian", "peregrine", "weft")
_WSGI_SERVERS = (
    *_FRAMEWORK_WSGI,
    "bridge inline",
    "weft wsgi inline",
    "weft wsgi 8",
    "fastpysgi wsgi",
    "waitress",
    "meinheld",
)


def _python(servers: tuple[str, ...], app: str, prefix: str = "") -> tuple[Row, ...]:
    """The same app on each server."""
    return tuple(Row(prefix + server, server, app) for server in servers)


def _others(*servers: str) -> tuple[Row, ...]:
    """Servers that know their answers themselves."""
    return tuple(Row(server, server, "") for server in servers)


def _wrapped(name: str, server: str, wrapper: str, inner: str) -> Row:
    return Row(name, server, f"bench.apps.wrapped:{wrapper}", inner)


def _through_uvicorn(app: str) -> tuple[Row, ...]:
    """A WSGI app under uvicorn, by each adapter."""
    return (
        _wrapped("uvicorn + WsgiToAsgi", "uvicorn", "bridge_asgi", app),
        _wrapped("uvicorn + a2wsgi", "uvicorn", "a2wsgi_asgi", app),
        Row("uvicorn wsgi", "uvicorn wsgi", app),
    )


_PLAIN_ASGI = (
    *_python((*_ASGI_SERVERS, "bridge, no C"), "bench.apps.plain:asgi"),
    *_others("floor", "go", "node"),
)
_PLAIN_WSGI = (
    *_python(
        (*_WSGI_SERVERS, "bridge greenlet, patch", "bridge thread, no C"), "bench.apps.plain:wsgi"
    ),
    *_through_uvicorn("bench.apps.plain:wsgi"),
)
_FLASK = _python(_FRAMEWORK_WSGI, "bench.apps.flask_app:wsgi", "flask: ")


def _bodies(module: str, *more: str) -> tuple[Row, ...]:
    """Rows for a scenario whose work is the body, on both interfaces, and `more`."""
    app = f"bench.apps.{module}"
    wsgi = ("bridge thread", "granian wsgi 1", "granian wsgi 8", "gunicorn gthread", "waitress")
    return (
        *_python(_ASGI_SERVERS, f"{app}:asgi"),
        *_others("go", "node", *more),
        *_python(wsgi, f"{app}:wsgi"),
        _wrapped("uvicorn + WsgiToAsgi", "uvicorn", "bridge_asgi", f"{app}:wsgi"),
        _wrapped("uvicorn + a2wsgi", "uvicorn", "a2wsgi_asgi", f"{app}:wsgi"),
    )


def _files() -> tuple[Row, ...]:
    """A file as each server sends it best: by the kernel, where it can."""
    asgi, wsgi = "bench.apps.files:asgi", "bench.apps.files:wsgi"
    return (
        *_python(("bridge pathsend", "bridge", "uvicorn", "granian", "hypercorn"), asgi),
        *_python(("bridge thread", "bridge worker", "bridge greenlet"), wsgi),
        *_python(("gunicorn gthread", "granian wsgi 8", "waitress"), wsgi),
        _wrapped("uvicorn + WsgiToAsgi", "uvicorn", "bridge_asgi", wsgi),
        _wrapped("uvicorn + a2wsgi", "uvicorn", "a2wsgi_asgi", wsgi),
    )


def _memory() -> tuple[Row, ...]:
    """Each host bare, then with each adapter: what the adapter adds."""
    asgi, wsgi = "bench.apps.transfer:asgi", "bench.apps.transfer:wsgi"
    return (
        Row("bridge", "bridge", asgi),
        _wrapped("bridge + WsgiToAsgi", "bridge", "bridge_asgi", wsgi),
        Row("uvicorn", "uvicorn", asgi),
        _wrapped("uvicorn + WsgiToAsgi", "uvicorn", "bridge_asgi", wsgi),
        _wrapped("uvicorn + a2wsgi", "uvicorn", "a2wsgi_asgi", wsgi),
        Row("bridge thread", "bridge thread", wsgi),
        _wrapped("bridge thread + AsgiToWsgi", "bridge thread", "bridge_wsgi", asgi),
        Row("gunicorn", "gunicorn gthread", wsgi),
        _wrapped("gunicorn + AsgiToWsgi", "gunicorn gthread", "bridge_wsgi", asgi),
        _wrapped("gunicorn + a2wsgi", "gunicorn gthread", "a2wsgi_wsgi", asgi),
    )


def _mounts(path: str = "/hello") -> tuple[Row, ...]:
    """Each kind of app alone, and in a Dispatcher beside one of the other kind."""
    asgi, wsgi = "bench.apps.plain:asgi", "bench.apps.plain:wsgi"
    mounted = "bench.apps.wrapped:mounted"
    return (
        Row("asgi", "bridge", asgi, path=f"/api{path}"),
        Row("asgi mounted", "bridge", f"{mounted}_asgi", asgi, path=f"/api{path}"),
        Row("wsgi", "bridge thread", wsgi),
        Row("wsgi mounted", "bridge", f"{mounted}_wsgi", wsgi),
    )


def _cutover(path: str = "/hello") -> tuple[Row, ...]:
    """Each kind of app in a Dispatcher, and behind a Cutover, which says who has answered."""
    asgi, wsgi = "bench.apps.plain:asgi", "bench.apps.plain:wsgi"
    wrapped = "bench.apps.wrapped"
    return (
        Row("asgi mounted", "bridge", f"{wrapped}:mounted_asgi", asgi, path=f"/api{path}"),
        Row("asgi new", "bridge", f"{wrapped}:routed_asgi", asgi, path=f"/api{path}"),
        Row("wsgi mounted", "bridge", f"{wrapped}:mounted_wsgi", wsgi),
        Row("wsgi old", "bridge", f"{wrapped}:routed_wsgi", wsgi),
    )


_ECHO = Request("/echo", upload=10_000, answer=b"x" * 10_000)
_WEBSOCKETS = (
    "bridge",
    "uvicorn websockets",
    "uvicorn websockets-sansio",
    "uvicorn wsproto",
    "granian",
    "hypercorn",
    "gunicorn asgi",
)
_LOGS = ("bridge", "bridge, log", "uvicorn", "uvicorn, log", "granian", "granian, log")

_MAIL = (
    *_python(("bridge asgi 3",), "bench.apps.plain:asgi"),
    *_python(("bridge asgi 1 inline", "bridge asgi 1 thread"), "bench.apps.plain:asgi1"),
    *_python(("bridge wsgi inline", "bridge wsgi thread", "meinheld"), "bench.apps.plain:wsgi"),
    *_others("go", "node, equal fields"),
)


def _channels(*workers: tuple[str, str]) -> tuple[Row, ...]:
    """Each kind of app, directly and with so many workers."""
    return tuple(
        Row(f"{kind}: {name}", server, app)
        for kind, direct, app in (
            ("ASGI 3", "bridge", "bench.apps.plain:asgi"),
            ("ASGI 1", "bridge asgi 1 thread", "bench.apps.plain:asgi1"),
            ("WSGI", "bridge thread", "bench.apps.plain:wsgi"),
        )
        for name, server in (("direct", direct), *workers)
    )


_METRICS = (
    *_python(("bridge", "bridge, metrics"), "bench.apps.plain:asgi"),
    *_python(("bridge thread", "bridge thread, metrics"), "bench.apps.plain:wsgi"),
)

_ONE_WORKER = ("gateway, 1 worker", "channels 1")
_MORE_WORKERS = (("gateway, 2 workers", "channels 2"), ("gateway, 4 workers", "channels 4"))
_DAPHNE = Row("ASGI 1: daphne, 1 worker", "daphne 1 with asgi_redis", "bench.apps.plain:asgi1")
#: What the scenarios of channels have in common.
_THROUGH_REDIS = (
    "Hello, world! through a gateway, Redis and workers, and directly: CPU of all processes"
)

_WAITING_SERVERS = (
    "bridge greenlet, patch",
    *(f"bridge thread {count}" for count in THREADS),
    "gunicorn gevent",
    "gunicorn gevent_pywsgi",
    *(f"gunicorn gthread {count}" for count in THREADS),
    *(f"granian wsgi {count}" for count in THREADS),
    *(f"waitress {count}" for count in THREADS),
)
_WAITING = Request("/items/", browser=True, connections=512)

#: As the table of 2017 had them: rate, then latency with its deviation.
MAIL_COLUMNS = (
    Column("cpu_us", "CPU us/request", 1),
    Column("rate", "requests/s"),
    Column("mean_us", "latency ms", 2, 1e-3),
    Column("deviation_us", "deviation ms", 2, 1e-3),
    *LOAD_COLUMNS[2:],
)

SCENARIOS = {
    "browser-asgi": Scenario(f"Hello, world! as an ASGI app, {DIFFERENT}", _PLAIN_ASGI, BROWSER),
    "browser-wsgi": Scenario(f"Hello, world! as a WSGI app, {DIFFERENT}", _PLAIN_WSGI, BROWSER),
    "browser-frameworks": Scenario(
        f"hello in Flask, Django and Starlette, {DIFFERENT}",
        _FLASK
        + _python(_FRAMEWORK_WSGI, "bench.apps.django_app:wsgi", "django: ")
        + _python(_FRAMEWORK_ASGI, "bench.apps.starlette_app:asgi", "starlette: "),
        BROWSER,
    ),
    "browser-responses": Scenario(
        f"Hello, world! with an entity tag and a cookie that are new each time, {DIFFERENT}",
        _python(_ASGI_SERVERS, "bench.apps.fresh:asgi")
        + _python(_WSGI_SERVERS, "bench.apps.fresh:wsgi")
        + _through_uvicorn("bench.apps.fresh:wsgi"),
        BROWSER,
    ),
    "browser-mounts": Scenario(
        f"apps mounted in a Dispatcher, and alone, {DIFFERENT}", _mounts(BROWSER.path), BROWSER
    ),
    "plaintext": Scenario(f"Hello, world! on both interfaces, {SAME}", _PLAIN_ASGI + _PLAIN_WSGI),
    "asgi": Scenario(f"Hello, world! as an ASGI app, {SAME}", _PLAIN_ASGI),
    "wsgi": Scenario(f"Hello, world! as a WSGI app, {SAME}", _PLAIN_WSGI),
    "echo": Scenario("POST of 10 kB, echoed", _bodies("echo"), _ECHO),
    "large": Scenario(
        "a response of 50 kB", _bodies("large", "floor"), Request("/large", answer=large.BODY)
    ),
    "stream": Scenario(
        "1 MB streamed in sixteen pieces",
        _bodies("stream", "floor"),
        Request("/stream", answer=stream.PIECE * stream.COUNT),
    ),
    "files": Scenario(
        "a file of 5 MB, beside two threads of the app that compute",
        _files(),
        Request("/file", answer=files.BODY),
        columns=BESIDE_WORK_COLUMNS,
    ),
    "websocket": Scenario(
        "WebSocket echo of 32 bytes of text, 64 connections",
        _python(_WEBSOCKETS, "bench.apps.websocket:asgi"),
        measure=samples.websocket_load,
        columns=MESSAGE_COLUMNS,
    ),
    "flask": Scenario(f"hello in Flask, {SAME}", _FLASK),
    "starlette": Scenario(
        f"hello in Starlette, {SAME}", _python(_ASGI_SERVERS, "bench.apps.starlette_app:asgi")
    ),
    "django": Scenario(
        f"hello in Django, on both interfaces, {SAME}",
        _python(_FRAMEWORK_WSGI, "bench.apps.django_app:wsgi")
        + tuple(
            Row(server, server, "bench.apps.django_app:asgi", path="/async")
            for server in _ASGI_SERVERS
        ),
    ),
    "hybrid": Scenario(
        f"a synchronous view of Django, by each of its handlers, {SAME}",
        (
            Row("bridge both ways", "bridge both ways", "bench.apps.django_both:app"),
            Row("bridge WSGI", "bridge thread", "bench.apps.django_app:wsgi"),
            Row("bridge ASGI", "bridge", "bench.apps.django_app:asgi"),
            Row(
                "bridge both ways, async view",
                "bridge both ways",
                "bench.apps.django_both:app",
                path="/async",
            ),
            Row("bridge ASGI, async view", "bridge", "bench.apps.django_app:asgi", path="/async"),
            Row("uvicorn both ways", "uvicorn", "bench.apps.django_both:app"),
            Row("uvicorn ASGI", "uvicorn", "bench.apps.django_app:asgi"),
            Row("gunicorn gthread", "gunicorn gthread", "bench.apps.django_app:wsgi"),
        ),
    ),
    "mounts": Scenario(f"apps mounted in a Dispatcher, and alone, {SAME}", _mounts()),
    "cutover": Scenario(f"apps behind a Cutover, and in a Dispatcher, {SAME}", _cutover()),
    "shadow": Scenario(
        shadowed.ABOUT, shadowed.rows(), measure=shadowed.by_turns, columns=shadowed.COLUMNS
    ),
    "access-log": Scenario(
        f"Hello, world! with the access log on, written to a file, {DIFFERENT}",
        _python(_LOGS, "bench.apps.plain:asgi")
        + _python(("bridge thread", "bridge thread, log"), "bench.apps.plain:wsgi"),
        BROWSER,
    ),
    "metrics-equal": Scenario(f"Hello, world! with metrics and without, {SAME}", _METRICS),
    "metrics-differ": Scenario(
        f"Hello, world! with metrics and without, {DIFFERENT}", _METRICS, BROWSER
    ),
    "mail-equal": Scenario(
        f"the table of 2017: Hello, world! with equal fields in all responses, {SAME}",
        _MAIL,
        columns=MAIL_COLUMNS,
    ),
    "mail-differ": Scenario(
        f"the table of 2017: Hello, world! with equal fields in all responses, {DIFFERENT}",
        _MAIL,
        BROWSER,
        columns=MAIL_COLUMNS,
    ),
    "channels-equal": Scenario(
        f"{_THROUGH_REDIS}, {SAME}", (*_channels(_ONE_WORKER, *_MORE_WORKERS), _DAPHNE)
    ),
    "channels-differ": Scenario(f"{_THROUGH_REDIS}, {DIFFERENT}", _channels(_ONE_WORKER), BROWSER),
    "waiting-http": Scenario(
        f"each request waits 10 ms in a call of http.client, 512 connections, {DIFFERENT}",
        _python(_WAITING_SERVERS, "bench.apps.waiting:http_call"),
        _WAITING,
        measure=samples.waiting_load,
    ),
    "waiting-redis": Scenario(
        f"each request waits 10 ms in Redis, by redis-py, 512 connections, {DIFFERENT}",
        _python(_WAITING_SERVERS, "bench.apps.waiting:redis_call"),
        _WAITING,
        measure=samples.waiting_load,
    ),
    "idle": Scenario(
        "memory of a hello worker, and of each idle keep-alive connection",
        _python(("bridge", "uvicorn", "granian", "hypercorn"), "bench.apps.plain:asgi")
        + _python(("bridge thread", "granian wsgi 8"), "bench.apps.plain:wsgi")
        + _others("go", "node"),
        measure=samples.idle,
        columns=IDLE_COLUMNS,
    ),
    "memory": Scenario(
        "one upload and one download of 1 GB, with and without the adapters",
        _memory(),
        measure=samples.transfer,
        columns=TRANSFER_COLUMNS,
    ),
}

#: Names under which several scenarios run, one after the other.
GROUPS = {
    group: tuple(name for name in SCENARIOS if name.startswith(f"{group}-"))
    for group in ("browser", "mail", "channels", "metrics", "waiting")
}
