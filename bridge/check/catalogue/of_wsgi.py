"""What a WSGI app does, as it is driven (PEP 3333), and how it fares under each runner."""

from __future__ import annotations

from typing import Final

from bridge.check.catalogue.entry import (
    ALL_WAYS,
    GREENLET,
    INLINE,
    PATCHED,
    THREAD,
    WSGI_HOSTS,
    WSGI_TO_ASGI,
    WSGI_WAYS,
    Entry,
)

WSGI: Final[dict[str, Entry]] = {
    "write": Entry(
        "note",
        "it calls write(), the oldest way to send a body",
        "All runners here take it, though inline cannot make it wait for a slow client. Other "
        "servers may not: return the pieces, or yield them.",
        care=(INLINE, WSGI_HOSTS),
    ),
    "late-read": Entry(
        "warning",
        "it reads the request body when its response has begun",
        "Read the body first. Clients and proxies may stop sending when a response comes.",
        care=(WSGI_TO_ASGI, WSGI_HOSTS),
    ),
    "read-after-end": Entry(
        "error",
        "it reads the request body when its response is over",
        "Read what you need before the response ends, and hand on the bytes.",
        fails=WSGI_WAYS,
    ),
    "unbounded-read": Entry(
        "warning",
        "it reads a request body of any size into memory: read() without a size",
        "Read it in pieces, read(65536), or set --limit-body-size.",
        care=WSGI_WAYS,
    ),
    "needs-length": Entry(
        "note",
        "it reads a body only if Content-Length is there; one in chunks seems empty to it",
        "Clients that send chunks find that their body is lost. WsgiToAsgi(app, spool_body=65536) "
        "takes a body whole first, and then its length is known.",
        care=WSGI_WAYS,
    ),
    "str-body": Entry(
        "error",
        "its body is {seen}, and PEP 3333 wants an iterable of bytes",
        "Encode the text, and return a list: [text.encode()].",
        fails=WSGI_WAYS,
    ),
    "start-twice": Entry(
        "error",
        "it calls start_response() twice without exc_info",
        "Call it once; the second time only to report an error, with exc_info=sys.exc_info().",
        fails=WSGI_WAYS,
    ),
    "no-start": Entry(
        "error",
        "it {what} before it has called start_response()",
        "Call start_response() before the first byte of the body.",
        fails=WSGI_WAYS,
    ),
    "illegal-head": Entry(
        "error",
        "it begins its response wrongly: {what}",
        "Status and fields are native strings: ('200 OK', [('Content-Type', 'text/html')]).",
        fails=WSGI_WAYS,
    ),
    "lenient-head": Entry(
        "warning",
        "it {what}, which PEP 3333 does not allow",
        "The runners here take it, with a warning in the log; other servers may not.",
        care=WSGI_WAYS,
    ),
    "length-lies": Entry(
        "error",
        "Content-Length is {said}, and its body has {sent} bytes",
        "Let the framework count, or leave it out: the server adds it, or sends chunks.",
        fails=ALL_WAYS,
    ),
    "not-closed": Entry(
        "warning",
        "a middleware does not pass close() on to the response of the app inside",
        "Call close() of what the inner app returned, in a finally: it frees what is held.",
        care=WSGI_WAYS,
    ),
    "close-raises": Entry(
        "error",
        "close() of its response raises {error}",
        "The response has been sent then; what close() should free stays held.",
        care=WSGI_WAYS,
    ),
    "validator": Entry(
        "warning",
        "wsgiref.validate objects: {what}",
        "The runners here may take it; a stricter server would not.",
        care=(WSGI_HOSTS,),
    ),
    "thread-state": Entry(
        "warning",
        "it leaves {what} in a threading.local when a request is over",
        "The next request of that thread finds it, and one in another thread does not, on any "
        "server. Take it away at the end of the request, or use a contextvars.ContextVar.",
        care=WSGI_WAYS,
    ),
    "thread-connection": Entry(
        "note",
        "it keeps a connection in each thread: {what}",
        "Count one for each of --threads, and for each worker. Under the greenlet runner it is one "
        "for each greenlet: use a pool there.",
        care=(PATCHED, GREENLET),
    ),
    "shared-connection": Entry(
        "warning",
        "it opens a connection at import that all threads share: {what}",
        "Open one for each request, or serve it by --runner inline --workers N: one request at a "
        "time in each worker, as under Gunicorn's sync workers.",
        care=(THREAD, PATCHED, GREENLET, WSGI_TO_ASGI, WSGI_HOSTS),
    ),
    "shared-transaction": Entry(
        "note",
        "all threads share a connection, and with it one transaction: {what}",
        "A commit or rollback in one thread is one for all: hold a lock from the first statement "
        "to it, or open a connection for each request.",
        care=(THREAD, PATCHED, WSGI_TO_ASGI, WSGI_HOSTS),
    ),
    "thread-bound": Entry(
        "error",
        "{request} fails in other threads than that of the import: {error}",
        "It was answered in that one: serve it by --runner inline --workers N. For threads, make "
        "in each request what is made at import.",
        care=(PATCHED, GREENLET, WSGI_TO_ASGI, WSGI_HOSTS),
        fails=(THREAD,),
    ),
    "session-kept": Entry(
        "warning",
        "it leaves a SQLAlchemy session open when a request is over: {what}",
        "Call {what}.remove() at the end of each request: an open one holds a connection.",
        care=WSGI_WAYS,
    ),
    "waits": Entry(
        "note",
        "it waits while it answers: {what}",
        "Threads and patched greenlets let other requests go on meanwhile; inline, and greenlets "
        "without --patch, do not.",
        care=(GREENLET,),
        fails=(INLINE,),
    ),
    "trial-differs": Entry(
        "error",
        "under {way}, {request} {what}",
        "Choose another way, and report it if the app is not to blame.",
    ),
    "trial-blocks": Entry(
        "warning",
        "under {way} it holds up all other requests",
        "Choose --runner thread, or put such calls into bridge.in_thread().",
    ),
}
