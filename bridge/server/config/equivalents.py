"""What to write instead of options of uvicorn, Gunicorn and waitress (S63).

Options that are spelled differently but mean the same are aliases of settings, in `config`. All
others are here: each has an equivalent, or a reason why there is none.
"""

from __future__ import annotations

_WORKER = "for several processes, run: gunicorn -w N -k bridge.server.gunicorn.BridgeWorker app"
_UNDER_GUNICORN = f"one process has no use for it; {_WORKER}"
_NO_MASTER = (
    "one process has no master that could end it; a request may take as long as it likes. "
    f"{_WORKER[:1].upper()}{_WORKER[1:]} --timeout SECONDS"
)
_SYSTEMD = "have systemd or your container do it"
_LOGGING = "say --log-config FILE, which configures Python's logging"
_NO_RELOAD = "this version cannot reload yet; restart it by hand"
_NO_HTTP2 = "this server speaks HTTP/1.1; let the proxy in front of it speak HTTP/2"
_STRICT = "it is always strict, because lenient parsing lets requests be smuggled"
_DIRTY = "there are no dirty workers; use a task queue"
_ONE_LOOP = "there is nothing to choose: uvloop if it is installed, else asyncio"
_STATSD = "there are no figures for statsd yet; the access log can be read instead"

#: Ours that are no settings, for who looks for them in a file, in the environment or in Python.
COMMAND_LINE: dict[str, str] = {
    "--uds": "say --bind unix:PATH",
    "--fd": "say --bind fd://N",
    "--env": "set the variable in the environment",
    "--env-file": "set the variables in the environment",
    "--chdir": "change the directory before the start, or say --app-dir PATH",
    "--pythonpath": "say --app-dir PATH for the app's directory, and PYTHONPATH=... for more",
}

#: uvicorn's, by option.
UVICORN: dict[str, str] = {
    "--reload-dir": _NO_RELOAD,
    "--reload-include": _NO_RELOAD,
    "--reload-exclude": _NO_RELOAD,
    "--reload-delay": _NO_RELOAD,
    "--loop": _ONE_LOOP,
    "--http": "there is nothing to choose: httptools parses, and our own code checks",
    "--http2": _NO_HTTP2,
    "--ws": "there is nothing to choose: WebSockets always work",
    "--use-colors": "there are colours on a terminal, unless NO_COLOR is set",
    "--no-use-colors": "set NO_COLOR=1 in the environment",
    "--limit-max-requests": _UNDER_GUNICORN + " --max-requests N",
    "--limit-max-requests-jitter": _UNDER_GUNICORN + " --max-requests-jitter N",
    "--timeout-worker-healthcheck": _UNDER_GUNICORN + " --timeout SECONDS",
    "--ssl-version": "TLS 1.2 and 1.3 are spoken; say --ssl-ciphers for those of 1.2",
    "--header": "set the field in the app, in a middleware or in the proxy; --no-server-header "
    "takes away `Server`",
    "--h11-max-incomplete-event-size": "say --limit-header-size BYTES",
    "--reset-contextvars": "it is always so: each request has a context of its own",
}

#: Gunicorn's, by option.
GUNICORN: dict[str, str] = {
    "--asgi-disconnect-grace-period": "an app that waits is told at once that its client has left",
    "--asgi-lifespan": "say --lifespan auto|on|off",
    "--asgi-loop": _ONE_LOOP,
    "--capture-output": "standard output and standard error are left as they are",
    "--casefold-http-method": _STRICT,
    "--cert-reqs": "say --ssl-cert-reqs none|optional|required",
    "--control-socket": _UNDER_GUNICORN,
    "--no-control-socket": "there is no control socket",
    "--control-socket-mode": _UNDER_GUNICORN,
    "-D": f"it stays in the foreground; {_SYSTEMD}",
    "--daemon": f"it stays in the foreground; {_SYSTEMD}",
    "--dirty-app": _DIRTY,
    "--dirty-graceful-timeout": _DIRTY,
    "--dirty-threads": _DIRTY,
    "--dirty-timeout": _DIRTY,
    "--dirty-workers": _DIRTY,
    "--disable-redirect-access-to-syslog": _LOGGING,
    "--do-handshake-on-connect": "there is nothing to choose: a handshake does not block others",
    "--dogstatsd-tags": _STATSD,
    "--enable-backlog-metric": _STATSD,
    "-R": "standard output and standard error are left as they are",
    "--enable-stdio-inheritance": "standard output and standard error are left as they are",
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
    "--http-parser": "there is nothing to choose: httptools parses, and our own code checks",
    "--http-protocols": _NO_HTTP2,
    "--initgroups": _SYSTEMD,
    "--logger-class": _LOGGING,
    "--max-requests": _UNDER_GUNICORN + " --max-requests N",
    "--max-requests-jitter": _UNDER_GUNICORN + " --max-requests-jitter N",
    "--paste": "name what makes the app: module:function()",
    "--paster": "name what makes the app: module:function()",
    "--paste-global": "name what makes the app, with its arguments: module:function(key='value')",
    "--permit-obsolete-folding": _STRICT,
    "--permit-unconventional-http-method": "every method that is a token reaches the app",
    "--permit-unconventional-http-version": _STRICT,
    "-p": f"there is no file for the pid; {_SYSTEMD}. For the port, say --port",
    "--pid": f"there is no file for the pid; {_SYSTEMD}",
    "--preload": _UNDER_GUNICORN + " --preload",
    "-n": _SYSTEMD,
    "--name": _SYSTEMD,
    "--protocol": "it speaks HTTP; say --proxy-protocol for the PROXY protocol before it",
    "--reload-engine": _NO_RELOAD,
    "--reload-extra-file": _NO_RELOAD,
    "--reuse-port": _UNDER_GUNICORN + " --reuse-port",
    "--no-sendfile": "files are sent by the system only if the app asks for that",
    "--spew": "use a debugger",
    "--ssl-version": UVICORN["--ssl-version"],
    "--statsd-host": _STATSD,
    "--statsd-prefix": _STATSD,
    "--strip-header-spaces": _STRICT,
    "--suppress-ragged-eofs": "there is nothing to choose",
    "--log-syslog": _LOGGING,
    "--log-syslog-to": _LOGGING,
    "--log-syslog-facility": _LOGGING,
    "--log-syslog-prefix": _LOGGING,
    "-t": _NO_MASTER,
    "--timeout": _NO_MASTER,
    "-m": _SYSTEMD + "; --uds-mode sets the permissions of Unix sockets",
    "--umask": _SYSTEMD + "; --uds-mode sets the permissions of Unix sockets",
    "-u": _SYSTEMD,
    "--user": _SYSTEMD,
    "--uwsgi-allow-from": "it does not speak the uwsgi protocol; have the proxy speak HTTP",
    "--worker-class": "say --runner thread|greenlet|inline, which is how WSGI apps run; ASGI apps "
    "always run on the event loop",
    "--worker-connections": "say --limit-connections N",
    "--worker-tmp-dir": _UNDER_GUNICORN,
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
