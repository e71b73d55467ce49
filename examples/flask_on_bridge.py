"""A Flask app, unchanged, on our server.

    asgi-bridge serve --app-dir examples flask_on_bridge:app

The same app under another ASGI server:

    uvicorn --app-dir examples flask_on_bridge:asgi_app
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import IO, Any

from flask import Flask, Response, jsonify, redirect, request, url_for

from bridge import WsgiToAsgi

app = Flask(__name__)


def summary(stream: IO[bytes]) -> dict[str, Any]:
    """Return size and hash of a file, read in pieces."""
    digest, size = hashlib.sha256(), 0
    while piece := stream.read(64 * 1024):
        digest.update(piece)
        size += len(piece)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/")
def index() -> str:
    return "Hello from Flask!\n"


@app.post("/form")
def form() -> Response:
    return jsonify({name: request.form.getlist(name) for name in sorted(request.form)})


@app.post("/json")
def json() -> Response:
    return jsonify(received=request.get_json())


@app.post("/upload")
def upload() -> Response:
    """Read a form with files; the framework writes large files to temporary files."""
    files = {
        name: {"filename": file.filename, **summary(file.stream)}
        for name, file in sorted(request.files.items())
    }
    return jsonify(files=files, fields=dict(sorted(request.form.items())))


@app.route("/raw", methods=["POST", "PUT"])
def raw() -> Response:
    """Read a body that is not a form, with a Content-Length or chunked."""
    return jsonify(summary(request.stream))


@app.get("/download")
def download() -> Response:
    """Send a body that is made while it is sent: ``/download?size=1000000``."""
    size = request.args.get("size", 1_000_000, type=int)

    def pieces() -> Iterator[bytes]:
        for start in range(0, size, 10_000):
            yield b"%09d\n" % start * (min(10_000, size - start) // 10)

    return Response(pieces(), mimetype="text/plain")


@app.get("/cookies")
def cookies() -> Response:
    """Show the request's cookies, and set two."""
    response = jsonify(dict(sorted(request.cookies.items())))
    response.set_cookie("first", "one", path="/", samesite="Lax")
    response.set_cookie("second", "two, with a comma", httponly=True)
    return response


@app.get("/redirect")
def away() -> Any:
    return redirect(url_for("index"))


@app.get("/error")
def error() -> str:
    raise RuntimeError("on purpose")


@app.post("/unread")
def unread() -> str:
    """Answer without reading the body."""
    return "not read\n"


asgi_app = WsgiToAsgi(app)

if __name__ == "__main__":
    import bridge

    bridge.serve(app)
