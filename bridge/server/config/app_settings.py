"""The settings of the app, of how WSGI apps run, of listening and of responses."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.arguments.values import Mode, Mounts, Path, Place, Seconds, Texts
from bridge.server.config.setting import setting, wsgi_setting

_APP = "The app"
_RUNNER = "How WSGI apps run"
_LISTEN = "Listening"
_HTTP = "HTTP"


@dataclass(frozen=True, kw_only=True)
class AppSettings:
    """Rows of `Config`."""

    app: object = setting(
        None,
        "The app: `module:attr`, the module alone if that is `app` or `application`, or a call of "
        'what makes it: `module:create_app()`, `module:create_app("production")`.',
        _APP,
    )
    mount: Mounts = setting(
        (),
        "Mount an app at a prefix, as `/api=new.asgi:app`. The target may begin with its kind: "
        "`/=wsgi:legacy.wsgi:application`. Repeatable.",
        _APP,
    )
    cutover: Path | None = setting(
        None,
        "A TOML file that names an old and a new app, and says for each route which of them "
        "answers; the same is a table `cutover` in the file of settings.",
        _APP,
    )
    interface: str = setting(
        "auto",
        "The kind of the app; `auto` tells it by its signature.",
        _APP,
        choices=("auto", "asgi3", "asgi2", "asgi1", "wsgi"),
    )
    factory: bool = setting(
        False,
        "The target is a function to call, which returns the app; so are all mounts that are not "
        "written as a call.",
        _APP,
    )
    app_dir: Path = setting(".", "The directory that is put first on the import path.", _APP)
    root_path: Place = setting("", "The path under which a proxy mounts the app.", _APP)
    lifespan: str = setting(
        "auto",
        "Startup and shutdown of ASGI apps; `auto` tolerates apps that do not know them.",
        _APP,
        aliases=("--asgi-lifespan",),
        choices=("auto", "on", "off"),
    )

    # What a `WsgiToAsgi` or a mount sets itself wins over these.
    runner: str = wsgi_setting(
        "runner",
        "How WSGI apps run: in threads, in greenlets on the event loop, or called right there.",
        _RUNNER,
        short="-k",
    )
    patch: bool = setting(
        False,
        "Let calls of the standard library that block (sleeps, sockets, locks) wait without "
        "blocking in greenlets: `bridge.greenlet_patch()`, before the app is imported.",
        _RUNNER,
    )
    threads: int = wsgi_setting(
        "threads",
        "The most threads of one WSGI app; they start when needed.",
        _RUNNER,
    )
    queue_limit: int = wsgi_setting(
        "queue_limit",
        "The most requests that wait for a thread; beyond it the answer is 503.",
        _RUNNER,
    )
    queue_timeout: Seconds = wsgi_setting(
        "queue_timeout",
        "For a request to get a thread; then 503. It gives its place back if its client leaves.",
        _RUNNER,
    )
    stream_after: Seconds = wsgi_setting(
        "stream_after",
        "After it a response that streams (events, a slow download) leaves the pool: its thread "
        "goes on, and another may start in its place; earlier if requests wait.",
        _RUNNER,
    )
    stream_limit: int = wsgi_setting(
        "stream_limit",
        "The most threads of one WSGI app that stream beside its pool; if streams hold every other "
        "thread, too, the answer is 503.",
        _RUNNER,
    )
    timeout_request: Seconds = wsgi_setting(
        "timeout_request",
        "For an app, WSGI or ASGI, to begin its response, and then from one piece of it to the "
        "next; then it is interrupted, and the answer is 504, or the connection is cut.",
        _RUNNER,
    )
    websocket: bool = wsgi_setting(
        "websocket",
        "Give WSGI apps WebSockets, as `werkzeug.socket` (flask-sock).",
        _RUNNER,
    )
    strict: bool = wsgi_setting(
        "strict",
        "A WSGI response that PEP 3333 does not allow is a 500, also if most servers take it: "
        "hop-by-hop fields, and fields as lists.",
        _RUNNER,
    )

    host: str = setting("127.0.0.1", "The address to listen at.", _LISTEN)
    port: int = setting(
        8000, "The port; 0 takes a free one.", _LISTEN, env=("PORT",), minimum=0, maximum=65535
    )
    bind: Texts = setting(
        (),
        "Listen here instead of at host and port: `host:port`, `[::1]:port`, `unix:path` or "
        "`fd://N`. Repeatable. The sockets that systemd passes are served as well.",
        _LISTEN,
        short="-b",
    )
    backlog: int = setting(
        2048, "Connections that the kernel keeps waiting to be accepted.", _LISTEN, minimum=1
    )
    uds_mode: Mode = setting(
        0o666,
        "The permissions of Unix sockets, as octal digits.",
        _LISTEN,
        minimum=0,
        maximum=0o777,
    )

    server_header: bool = setting(True, "Send a `Server` field.", _HTTP)
    date_header: bool = setting(True, "Send a `Date` field.", _HTTP)
    pathsend: bool = setting(
        False,
        "Offer `http.response.pathsend` to ASGI apps: the kernel sends their files. Not for apps "
        "with a middleware that looks at bodies.",
        _HTTP,
    )
