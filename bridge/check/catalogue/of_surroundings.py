"""What an app does while it is imported, and what it and its libraries say of themselves."""

from __future__ import annotations

from typing import Final

from bridge.check.catalogue.entry import (
    ALL_WAYS,
    ASGI_WAYS,
    GREENLET,
    INLINE,
    PATCHED,
    WSGI_WAYS,
    Entry,
)

_IMPORT: Final[dict[str, Entry]] = {
    "import-thread": Entry(
        "warning",
        "it starts a thread when it is imported",
        "A fork takes no threads along: do not serve it with --preload, or start the thread at the "
        "first request, or in the lifespan.",
    ),
    "import-process": Entry(
        "warning",
        "it starts a process when it is imported",
        "Each worker, and each reload, starts one more. Start it elsewhere.",
    ),
    "import-signal": Entry(
        "warning",
        "it sets a handler for {signal} when it is imported",
        "The server then leaves that signal to the app. If it no longer stops at SIGTERM, take "
        "the handler out, and clean up in the lifespan or in atexit.",
    ),
    "uwsgi-api": Entry(
        "warning",
        "it imports {module}, which exists under uWSGI only",
        "What it does there (timers, spoolers, caches) happens under no other server: move it to "
        "a scheduler or a queue.",
        care=ALL_WAYS,
    ),
    "gevent": Entry(
        "error",
        "{library} has replaced threads, locks and sockets",
        "No runner here works with that. Take {call} out: threads do without, and --runner "
        "greenlet --patch is in its place.",
        fails=ALL_WAYS,
    ),
}

_LIBRARIES: Final[dict[str, Entry]] = {
    "c-driver": Entry(
        "note",
        "{library} waits in C, where no greenlet can let others go on",
        "Serve it by --runner thread; under greenlets put such calls into bridge.in_thread().",
        care=(PATCHED, GREENLET),
        fails=(INLINE,),
    ),
    "psycopg2": Entry(
        "note",
        "psycopg2 refuses COPY and large objects under greenlet --patch",
        "Use --runner thread if the app needs them, or psycopg 3.",
        care=(PATCHED,),
    ),
    "no-hosts": Entry(
        "error",
        "Django answers every request with 400: ALLOWED_HOSTS is empty, and DEBUG is off",
        "Name the hosts of the site in ALLOWED_HOSTS.",
        fails=ALL_WAYS,
    ),
    "django-connections": Entry(
        "note",
        "Django keeps a connection in each thread: CONN_MAX_AGE of {alias} is {age}",
        "Count workers x --threads connections. Under the greenlet runner leave it at 0, and take "
        "Django's pool.",
        care=(PATCHED, GREENLET),
    ),
    "sqlalchemy-pool": Entry(
        "warning",
        "SQLAlchemy's pool gives at most {most} connections, and there are {threads} threads",
        "Requests beyond wait for pool_timeout, and then fail: say --threads {most}, or raise "
        "pool_size or max_overflow.",
        care=WSGI_WAYS,
    ),
    "sync-middleware": Entry(
        "warning",
        "middleware {name} is synchronous: each async view is called through a thread for it",
        "Make it async (async_capable = True), or serve the project as WSGI, in threads.",
        care=ASGI_WAYS,
    ),
    "base-http-middleware": Entry(
        "note",
        "middleware {name} is a BaseHTTPMiddleware of Starlette",
        "It works, and costs a task for each request; changes to context variables in the view do "
        "not reach it. A plain ASGI middleware has neither.",
    ),
    "flask-async": Entry(
        "note",
        "Flask has async views: {names}",
        "Each call holds its thread until it ends, on any WSGI server: asgiref runs it on a loop.",
        care=(INLINE,),
    ),
}

SURROUNDINGS: Final[dict[str, Entry]] = {**_IMPORT, **_LIBRARIES}
