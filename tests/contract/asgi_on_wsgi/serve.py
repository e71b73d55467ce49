"""Hosts without a command of their own: ``python -m tests.contract.asgi_on_wsgi.serve NAME PORT``.

``wsgiref`` (one request at a time), ``werkzeug`` (its development server, threaded), ``pywsgi``
(gevent's server, everything patched) and ``cgi``: a process for each request.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from socketserver import BaseServer
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
CGI_SCRIPT = Path(__file__).with_name("cgi_script.py")


def load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def serve_until_interrupted(server: BaseServer) -> None:
    """Serve until SIGINT; then finish the request that is being answered, and return.

    Left to itself, a KeyboardInterrupt strikes anywhere: in wsgiref it passes for an error of the
    app's if it comes at the end of a response, and the server goes on.
    """
    stop = threading.Thread(target=server.shutdown)
    signal.signal(signal.SIGINT, lambda *_: stop.start())
    server.serve_forever()


def serve_wsgiref(target: str, port: int) -> None:
    from wsgiref.simple_server import make_server

    serve_until_interrupted(make_server("127.0.0.1", port, load(target)))


def serve_werkzeug(target: str, port: int) -> None:
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

    serve_until_interrupted(
        make_server("127.0.0.1", port, load(target), threaded=True, request_handler=Handler)
    )


def serve_pywsgi(target: str, port: int) -> None:
    from gevent import monkey

    monkey.patch_all()
    import gevent
    from gevent.pywsgi import WSGIServer

    server = WSGIServer(("127.0.0.1", port), load(target))
    # gevent's own watcher: a Python signal that comes just before its loop sleeps is seen late.
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, server.stop)
    server.serve_forever()


class CgiHandler(BaseHTTPRequestHandler):
    """Runs `cgi_script.py` for each request (RFC 3875), and passes its output on as it comes."""

    target = ""

    def run(self) -> None:
        path, _, query = self.path.partition("?")
        env = {
            "PYTHONPATH": str(ROOT),
            "TARGET": self.target,
            "GATEWAY_INTERFACE": "CGI/1.1",
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": _unquote(path),
            "REQUEST_URI": self.path,
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.server.server_address[1]),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": self.headers.get("Content-Length", ""),
        }
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                env[f"HTTP_{key}"] = value
        with subprocess.Popen(
            [sys.executable, str(CGI_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            bufsize=0,
        ) as script:
            feeder = threading.Thread(target=self.feed, args=(script.stdin,), daemon=True)
            feeder.start()
            self.relay(script)

    def feed(self, stdin: Any) -> None:
        left = int(self.headers.get("Content-Length") or 0)
        try:
            while left and (data := self.rfile.read1(min(left, 65536))):
                left -= len(data)
                stdin.write(data)
        except OSError:
            pass
        stdin.close()

    def relay(self, script: subprocess.Popen[bytes]) -> None:
        assert script.stdout is not None
        head = b""
        while b"\r\n\r\n" not in head and (data := script.stdout.read(65536)):
            head += data
        fields, _, rest = head.partition(b"\r\n\r\n")
        status, _, fields = fields.partition(b"\r\n")
        code = status.partition(b" ")[2] or b"500 Internal Server Error"
        try:
            self.wfile.write(b"HTTP/1.1 %b\r\nConnection: close\r\n%b\r\n\r\n" % (code, fields))
            if self.command == "HEAD":
                return
            self.wfile.write(rest)
            while data := script.stdout.read(65536):
                self.wfile.write(data)
        except OSError:
            pass  # the client is gone: closing the pipe tells the script
        finally:
            script.stdout.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = run


def _unquote(path: str) -> str:
    from urllib.parse import unquote

    return unquote(path, "latin-1").encode("latin-1").decode("utf-8", "surrogateescape")


def serve_cgi(target: str, port: int) -> None:
    CgiHandler.target = target
    ThreadingHTTPServer(("127.0.0.1", port), CgiHandler).serve_forever()


if __name__ == "__main__":
    name, target, port = sys.argv[1:]
    globals()[f"serve_{name}"](target, int(port))
