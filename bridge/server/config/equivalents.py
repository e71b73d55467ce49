"""What to write instead of options of uvicorn, Gunicorn and waitress (S63).

Options that are spelled differently but mean the same are aliases of settings, in `config`. All
others are here: each has an equivalent, or a reason why there is none.
"""

from __future__ import annotations

_SYSTEMD = "have systemd or your container do it"
_LOGGING = "say --log-config FILE, which configures Python's logging"
_NO_HTTP2 = "this server speaks HTTP/1.1; let the proxy in front of it speak HTTP/2"
_STRICT = "it is always strict, because lenient parsing lets requests be smuggled"
_STREAMS = "leave it out: standard output and standard error are left as they are"
_DIRTY = "there are no dirty workers; use a task queue"
_STATSD = "say --metrics-bind HOST:PORT, where Prometheus, or an exporter to statsd, gets figures"

#: Ours that are no settings, for who looks for them in a file, in the environment or in Python.
COMMAND_LINE: dict[str, str] = {
    "--uds": "say --bind unix:PATH",
    "--fd": "say --bind fd://N",
    "--env": "set the variable in the environment",
    "--env-file": "set the variables in the environment",
    "--chdir": "change the directory before the start, or say --app-dir PATH",
    "--pythonpath": "say --app-dir PATH for the app's directory, and PYTHONPATH=... for more",
    "--loop": "leave it out: the loop is uvloop's, where there is one, and else asyncio's",
    "--asgi-loop": "leave it out: the loop is uvloop's, where there is one, and else asyncio's",
    "--http": "leave it out: httptools parses, and our own code checks",
    "--http-parser": "leave it out: httptools parses, and our own code checks",
    "--ws": "leave it out: WebSockets always work",
    "--reset-contextvars": "leave it out: it is always so",
    "--no-use-colors": "set NO_COLOR=1",
}

#: What is said otherwise, or does something else, though it goes by the same name.
NOTES: dict[str, str] = {
    "--asgi-loop": "`auto` or `uvloop`",
    "--http": "`auto` or `httptools`",
    "--http-parser": "`auto` or `fast`",
    "--loop": "`auto` or `uvloop`",
    "--reset-contextvars": "it is always so",
    "--config": "a TOML file; Gunicorn's own, which are Python, are not read",
    "-c": "a TOML file; Gunicorn's own, which are Python, are not read",
    "-p": "if it is a number, it is refused: a port is said with `--port`",
    "-k": "`thread`, `greenlet` or `inline`: how WSGI apps run; ASGI apps always run on the loop",
    "--access-logfile": "without it, the access log goes to standard output",
    "--interface": "also `asgi1`",
    "--keep-alive": "75 s if nothing is said",
    "--timeout-keep-alive": "75 s if nothing is said",
    "--limit-request-line": "0 is not allowed",
    "--log-config": "a TOML, JSON or YAML file",
    "--log-config-json": "the name of the file must end in `.json`",
    "--log-level": "there is no `trace`",
    "--proxy-protocol": "takes no value: versions 1 and 2 are told apart",
    "--timeout-graceful-shutdown": "30 s if nothing is said; then what still runs is cut",
    "--worker-connections": "one more gets 503",
}

#: uvicorn's, by option.
UVICORN: dict[str, str] = {
    "--http2": _NO_HTTP2,
    "--use-colors": "there are colours on a terminal, unless NO_COLOR is set",
    "--ssl-version": "TLS 1.2 and 1.3 are spoken; say --ssl-ciphers for those of 1.2",
    "--header": "set the field in the app, in a middleware or in the proxy; --no-server-header "
    "takes away `Server`",
}

#: Gunicorn's, by option.
GUNICORN: dict[str, str] = {
    "--asgi-disconnect-grace-period": "an app that waits is told at once that its client has left",
    "--capture-output": _STREAMS,
    "--casefold-http-method": _STRICT,
    "--no-control-socket": "say --control-socket off",
    "--control-socket-mode": "leave it out: nobody else may open the socket",
    "-D": f"it stays in the foreground; {_SYSTEMD}",
    "--daemon": f"it stays in the foreground; {_SYSTEMD}",
    "--dirty-app": _DIRTY,
    "--dirty-graceful-timeout": _DIRTY,
    "--dirty-threads": _DIRTY,
    "--dirty-timeout": _DIRTY,
    "--dirty-workers": _DIRTY,
    "--disable-redirect-access-to-syslog": _LOGGING,
    "--do-handshake-on-connect": "leave it out: a handshake does not block others",
    "--dogstatsd-tags": _STATSD,
    "--enable-backlog-metric": _STATSD,
    "-R": _STREAMS,
    "--enable-stdio-inheritance": _STREAMS,
    "--forwarder-headers": "no field of a request changes the environ but X-Forwarded-* and "
    "Forwarded, of --forwarded-allow-ips",
    "-g": _SYSTEMD,
    "--group": _SYSTEMD,
    "--header-map": "names with an underscore never reach a WSGI app",
    "--http2-cleartext": _NO_HTTP2,
    "--http2-initial-window-size": _NO_HTTP2,
    "--http2-max-concurrent-streams": _NO_HTTP2,
    "--http2-max-frame-size": _NO_HTTP2,
    "--http2-max-header-list-size": _NO_HTTP2,
    "--http-protocols": _NO_HTTP2,
    "--initgroups": _SYSTEMD,
    "--logger-class": _LOGGING,
    "--paste": "name what makes the app: module:function()",
    "--paster": "name what makes the app: module:function()",
    "--paste-global": "name what makes the app, with its arguments: module:function(key='value')",
    "--permit-obsolete-folding": _STRICT,
    "--permit-unconventional-http-method": "every method that is a token reaches the app",
    "--permit-unconventional-http-version": _STRICT,
    "-n": _SYSTEMD,
    "--name": _SYSTEMD,
    "--protocol": "it speaks HTTP; say --proxy-protocol for the PROXY protocol before it",
    "--reload-engine": "leave it out: the system tells of changes",
    "--reload-extra-file": "say --reload-include PATTERN",
    "--reuse-port": "leave it out: connections spread over the workers without it, and a restart "
    "loses none",
    "--no-sendfile": "files are sent by the system only if the app asks for that",
    "--spew": "use a debugger",
    "--ssl-version": UVICORN["--ssl-version"],
    "--statsd-host": _STATSD,
    "--statsd-prefix": _STATSD,
    "--strip-header-spaces": _STRICT,
    "--suppress-ragged-eofs": "leave it out: the event loop does TLS",
    "--log-syslog": _LOGGING,
    "--log-syslog-to": _LOGGING,
    "--log-syslog-facility": _LOGGING,
    "--log-syslog-prefix": _LOGGING,
    "-m": _SYSTEMD + "; --uds-mode sets the permissions of Unix sockets",
    "--umask": _SYSTEMD + "; --uds-mode sets the permissions of Unix sockets",
    "-u": _SYSTEMD,
    "--user": _SYSTEMD,
    "--uwsgi-allow-from": "it does not speak the uwsgi protocol; have the proxy speak HTTP",
    "--worker-class": "say --runner thread|greenlet|inline, which is how WSGI apps run (gevent's "
    "way is --runner greenlet --patch); ASGI apps always run on the event loop",
    "--worker-tmp-dir": "leave it out: workers write no files to show that they live",
}

_TRUST = (
    "say forwarded_allow_ips = ADDRESS, of the proxies whose Forwarded or X-Forwarded-* is read"
)
_FLOW = "what a client has not read yet is buffered up to a fixed limit"
_POLLS = "there is nothing to choose: the event loop uses the best way that the system offers"

#: waitress's, which are keys in INI files for pserve: ``listen = localhost:6543``.
WAITRESS: dict[str, str] = {
    "--listen": "say bind = HOST:PORT, with commas between several",
    "--unix-socket": "say bind = unix:PATH",
    "--unix-socket-perms": "say uds_mode = 600",
    "--sockets": "say bind = fd://N",
    "--ipv4": "name the address with host or bind",
    "--ipv6": "name the address with host or bind",
    "--trusted-proxy": _TRUST,
    "--trusted-proxy-count": _TRUST,
    "--trusted-proxy-headers": _TRUST,
    "--log-untrusted-proxy-headers": _TRUST,
    "--clear-untrusted-proxy-headers": _TRUST,
    "--url-scheme": "the proxy says it with X-Forwarded-Proto, which is read if "
    "forwarded_allow_ips names the proxy",
    "--url-prefix": "say root_path = PATH",
    "--ident": "server_header = false takes away `Server`; an app may set one of its own",
    "--server-name": "an app sees the address that it is reached at, and the Host field",
    "--connection-limit": "say limit_connections = N",
    "--channel-timeout": "say timeout_keep_alive = SECONDS",
    "--cleanup-interval": "say timeout_keep_alive = SECONDS",
    "--max-request-header-size": "say limit_header_size = BYTES",
    "--max-request-body-size": "say limit_body_size = BYTES",
    "--expose-tracebacks": "errors are in the log, and never shown to clients",
    "--log-socket-errors": "say log_level = debug",
    "--channel-request-lookahead": "an app is told that its client has left",
    "--inbuf-overflow": "say limit_body_size = BYTES",
    "--outbuf-overflow": _FLOW,
    "--outbuf-high-watermark": _FLOW,
    "--recv-bytes": _FLOW,
    "--send-bytes": _FLOW,
    "--asyncore-loop-timeout": _POLLS,
    "--asyncore-use-poll": _POLLS,
}


def equivalent(option: str) -> str | None:
    """Return whose `option` it is, and what to write instead; None if it is not known."""
    tables = (("uvicorn", UVICORN), ("Gunicorn", GUNICORN), ("waitress", WAITRESS))
    for program, table in tables:
        if option in table:
            return f"{option} is an option of {program}; here: {table[option]}"
    if option in COMMAND_LINE:
        return f"{option} is for the command line alone; else: {COMMAND_LINE[option]}"
    return None
