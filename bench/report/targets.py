"""The targets of the project, all of them, by scenario."""

from __future__ import annotations

from bench.peers.servers import THREADS
from bench.report.verdicts import AtMost, Faster, Target, Within

GRANIAN_WSGI = ("granian wsgi 1", "granian wsgi 8")
PEREGRINE_WSGI = ("peregrine wsgi 1", "peregrine wsgi 8")

# The same head again and again.
_ASGI_SAME = (
    Faster("bridge", 1.1, ("go",)),
    Faster("bridge", 2.2, ("uvicorn",)),
    Faster("bridge", 1.0, ("peregrine",)),
)
_WSGI_SAME = (
    Faster("uvicorn + WsgiToAsgi", 5, ("uvicorn + a2wsgi",)),
    Within("bridge greenlet", "cpu_us", 1.3, "bridge inline"),
    Within("bridge greenlet, patch", "cpu_us", 1.3, "bridge inline"),
)
# Heads that differ.
_ASGI_BROWSER = (
    Faster("bridge", 1.0, ("go",)),
    Faster("bridge", 1.7, ("uvicorn",)),
    Faster("bridge", 1.4, ("granian",)),
    Faster("bridge", 0.9, ("weft",)),
    Faster("bridge", 1.0, ("weft",), stretch=True),
    Faster("bridge", 1.0, ("peregrine",), stretch=True),
)
_WSGI_BROWSER = (
    Faster("bridge thread", 1.0, GRANIAN_WSGI),
    Faster("bridge thread", 7, ("gunicorn gthread",)),
    Faster("bridge thread", 10, ("uvicorn + a2wsgi",)),
    Faster("bridge greenlet", 1.05, GRANIAN_WSGI),
    Faster("bridge greenlet", 0.95, ("meinheld",)),
    Faster("bridge inline", 1.05, GRANIAN_WSGI),
    Faster("bridge inline", 0.95, ("meinheld",)),
    Faster("bridge greenlet", 0.9, ("fastpysgi wsgi",), stretch=True),
    Faster("bridge inline", 0.9, ("fastpysgi wsgi",), stretch=True),
    *_WSGI_SAME,
)
_BODIES = (
    Faster("bridge", 1.5, ("uvicorn",)),
    Faster("bridge", 1.0, ("granian",)),
    Faster("bridge thread", 1.5, ("uvicorn + a2wsgi",)),
    Faster("bridge thread", 1.0, GRANIAN_WSGI),
)
_STREAM = (
    Faster("bridge", 1.0, ("granian",)),
    Faster("bridge", 1.0, ("uvicorn",)),
    Faster("bridge thread", 1.0, GRANIAN_WSGI),
    Faster("bridge thread", 1.0, ("uvicorn + a2wsgi",)),
)
_CUTOVER = (
    Within("asgi new", "cpu_us", 1.05, "asgi mounted"),
    Within("wsgi old", "cpu_us", 1.05, "wsgi mounted"),
)
_MOUNTS = (
    Within("asgi mounted", "cpu_us", 1.05, "asgi"),
    Within("wsgi mounted", "cpu_us", 1.05, "wsgi"),
)


def _framework(name: str) -> tuple[Target, ...]:
    """A WSGI framework by threads."""
    ours = f"{name}: bridge thread"
    return (
        Faster(ours, 1.0, tuple(f"{name}: {peer}" for peer in GRANIAN_WSGI)),
        Faster(ours, 1.0, tuple(f"{name}: {peer}" for peer in PEREGRINE_WSGI)),
        Faster(ours, 2.5, (f"{name}: gunicorn gthread",)),
    )


UPLOAD_OR_DOWNLOAD = ("upload", "download")


def _transfer(row: str, without: str) -> tuple[Target, ...]:
    """Memory flat, and the time near that of the same host without the adapter."""
    return tuple(
        target
        for way in UPLOAD_OR_DOWNLOAD
        for target in (
            AtMost(row, f"{way}_growth_mb", 20),
            Within(row, f"{way}_seconds", 1.5, without),
        )
    )


def _in_process(work: str) -> Target:
    return Faster(f"{work}: AsgiToWsgi", 5, (f"{work}: a2wsgi",))


_MAIL = tuple(
    Faster(f"bridge {way}", 1.0, ("go",))
    for way in ("asgi 3", "asgi 1 inline", "asgi 1 thread", "wsgi inline", "wsgi thread")
)

_METRICS = tuple(
    Within(f"{row}, metrics", "cpu_us", 1.01, row) for row in ("bridge", "bridge thread")
)

_CHANNELS = tuple(
    Within(f"{kind}: gateway, 1 worker", "cpu_us", 4, f"{kind}: direct")
    for kind in ("ASGI 3", "ASGI 1", "WSGI")
)

_WITH_THREADS = tuple(
    f"{name} {count}"
    for name in ("gunicorn gthread", "waitress", "granian wsgi")
    for count in THREADS
)
_WAITING = (
    Faster("bridge greenlet, patch", 1.0, ("gunicorn gevent", "gunicorn gevent_pywsgi")),
    Faster("bridge greenlet, patch", 1.5, _WITH_THREADS[:4]),
    Faster("bridge greenlet, patch", 1.0, _WITH_THREADS[4:]),
)

# A view of Django, by the handler that it needs.
_HYBRID = (
    Within("bridge both ways", "cpu_us", 1.1, "bridge WSGI"),
    Within("bridge both ways", "cpu_us", 0.2, "bridge ASGI"),
)

# What copies cost the old app's clients: CPU, and how long the slowest of them wait.
# To keep an answer costs the same few microseconds for each app: 5 % of what Flask takes.
_SHADOW = (
    *(
        target
        for kind in ("asgi", "wsgi", "flask")
        for target in (
            AtMost(f"{kind}, sample 0", "cpu_over", 1.05),
            AtMost(f"{kind}, new app hangs", "p99_over", 1.05),
        )
    ),
    AtMost("flask, kept, dropped", "cpu_over", 1.05),
    AtMost("flask, new app hangs", "cpu_over", 1.05),
)

TARGETS: dict[str, tuple[Target, ...]] = {
    "hybrid": _HYBRID,
    "waiting-http": _WAITING,
    "waiting-redis": _WAITING,
    "channels-equal": _CHANNELS,
    "channels-differ": _CHANNELS,
    "metrics-equal": _METRICS,
    "metrics-differ": _METRICS,
    "mail-equal": _MAIL,
    "mail-differ": _MAIL,
    "browser-asgi": _ASGI_BROWSER,
    "browser-wsgi": _WSGI_BROWSER,
    "browser-frameworks": _framework("flask") + _framework("django"),
    "browser-mounts": _MOUNTS,
    "plaintext": _ASGI_SAME + _WSGI_SAME,
    "asgi": _ASGI_SAME,
    "wsgi": _WSGI_SAME,
    "echo": _BODIES,
    "large": _BODIES,
    "stream": _STREAM,
    "files": (
        Faster("bridge thread", 1.0, ("gunicorn gthread",)),
        Faster("bridge worker", 1.0, ("gunicorn gthread",)),
        Faster("bridge", 1.0, ("uvicorn",)),
        Faster("bridge pathsend", 1.0, ("uvicorn",)),
    ),
    "websocket": (
        Faster(
            "bridge",
            1.5,
            ("uvicorn websockets", "uvicorn websockets-sansio", "uvicorn wsproto"),
        ),
    ),
    "mounts": _MOUNTS,
    "cutover": _CUTOVER,
    "shadow": _SHADOW,
    "access-log": (
        Faster("bridge, log", 0.85, ("bridge",)),
        Faster("bridge thread, log", 0.85, ("bridge thread",)),
    ),
    "idle": (
        AtMost("bridge", "worker_mb", 30),
        AtMost("bridge thread", "worker_mb", 30),
        AtMost("bridge", "connection_bytes", 6000),
        AtMost("bridge thread", "connection_bytes", 6000),
    ),
    "memory": (
        *_transfer("bridge + WsgiToAsgi", "bridge"),
        *_transfer("uvicorn + WsgiToAsgi", "uvicorn"),
        *_transfer("bridge thread + AsgiToWsgi", "bridge thread"),
        *_transfer("gunicorn + AsgiToWsgi", "gunicorn"),
    ),
    "asgi-on-wsgi": (
        _in_process("plain"),
        _in_process("plain, 2 cores"),
        _in_process("plain, 8 threads"),
        _in_process("100 pieces"),
        _in_process("100 pieces, 8 threads"),
    ),
}
