"""The targets of the project, all of them, by scenario."""

from __future__ import annotations

from bench.verdicts import AtMost, Faster, Target, Within

GRANIAN_WSGI = ("granian wsgi 1", "granian wsgi 8")

_ASGI_PLAINTEXT = (
    Faster("bridge", 1.1, ("go",)),
    Faster("bridge", 2.2, ("uvicorn",)),
    Faster("bridge", 1.6, ("granian",)),
    Faster("bridge", 0.55, ("floor",)),
)
_WSGI_PLAINTEXT = (
    Faster("bridge thread", 1.05, GRANIAN_WSGI),
    Faster("bridge thread", 8, ("gunicorn gthread",)),
    Faster("bridge thread", 12, ("uvicorn + a2wsgi",)),
    Faster("bridge greenlet", 1.2, GRANIAN_WSGI),
    Faster("bridge greenlet", 1.0, ("meinheld",)),
    Faster("bridge inline", 1.2, GRANIAN_WSGI),
    Faster("bridge inline", 1.0, ("meinheld",)),
)
_BODIES = (
    Faster("bridge", 1.5, ("uvicorn",)),
    Faster("bridge", 1.0, ("granian",)),
    Faster("bridge thread", 1.5, ("uvicorn + a2wsgi",)),
    Faster("bridge thread", 1.0, GRANIAN_WSGI),
)
_FLASK = (
    Faster("flask: bridge thread", 1.0, tuple(f"flask: {name}" for name in GRANIAN_WSGI)),
    Faster("flask: bridge thread", 2.5, ("flask: gunicorn gthread",)),
)

UPLOAD_OR_DOWNLOAD = ("upload", "download")


def _transfer(row: str, without: str) -> tuple[Target, ...]:
    """Memory flat, and the time near that of the same host without the adapter."""
    return tuple(
        target
        for way in UPLOAD_OR_DOWNLOAD
        for target in (
            AtMost(row, f"{way}_growth_mb", 20),
            Within(row, f"{way}_seconds", 1.2, without),
        )
    )


TARGETS: dict[str, tuple[Target, ...]] = {
    "plaintext": _ASGI_PLAINTEXT + _WSGI_PLAINTEXT,
    "asgi": _ASGI_PLAINTEXT,
    "wsgi": (
        *_WSGI_PLAINTEXT,
        Faster("uvicorn + WsgiToAsgi", 5, ("uvicorn + a2wsgi",)),
        *_FLASK,
    ),
    "flask": _FLASK,
    "echo": _BODIES,
    "large": _BODIES,
    "stream": _BODIES,
    "files": (
        Faster("bridge thread", 1.0, ("gunicorn gthread",)),
        Faster("bridge worker", 1.0, ("gunicorn gthread",)),
        Faster("bridge", 1.0, ("uvicorn",)),
        Faster("bridge pathsend", 1.0, ("uvicorn",)),
    ),
    "websocket": (
        Faster(
            "bridge",
            1.3,
            ("uvicorn websockets", "uvicorn websockets-sansio", "uvicorn wsproto"),
        ),
    ),
    "mounts": (
        Within("asgi mounted", "cpu_us", 1.05, "asgi"),
        Within("wsgi mounted", "cpu_us", 1.05, "wsgi"),
    ),
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
}
