"""An ASGI app that reads an upload in pieces, however large it is, and never keeps it in memory.

    asgi-bridge serve --app-dir examples upload_in_pieces:app
    uvicorn --app-dir examples upload_in_pieces:app --lifespan off

`bridge.Body` reads the body as it comes; the app hashes it, and shows in its log how far it is. A
slow disk, or a slow hash, slows the client down. Try it with a large file, or by

    curl --upload-file large.iso http://127.0.0.1:8000/upload
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import bridge

#: Bytes; a larger upload is refused as soon as that is known.
LIMIT = 20 * 1024**3

PAGE = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Upload</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body { font: 17px/1.5 system-ui, sans-serif; max-width: 40em; margin: 2em auto;
padding: 0 1em; overflow-wrap: anywhere }
progress { width: 100% } input { font: inherit; max-width: 100% }</style>
<h1>Upload</h1>
<p>The file is read in pieces, as they come, and hashed. Choose one of any size:</p>
<p><input type="file" id="file"></p>
<p><progress id="progress" max="1" value="0"></progress></p>
<p id="told"></p>
<script>
file.onchange = () => {
  const request = new XMLHttpRequest();
  request.upload.onprogress = event => progress.value = event.loaded / event.total;
  request.onload = () => told.textContent = request.responseText;
  request.onerror = () => told.textContent = "The upload failed.";
  request.open("PUT", "upload");
  request.send(file.files[0]);
};
</script>
</html>
"""


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["path"] == "/upload":
        await upload(receive, send)
    elif scope["path"] == "/":
        await answer(send, 200, b"text/html; charset=utf-8", PAGE)
    else:
        await answer(send, 404, b"text/plain", b"There is only / here.\n")


async def upload(receive: Any, send: Any) -> None:
    """Hash the body while it comes."""
    body = bridge.Body(receive, max_size=LIMIT)
    digest, size, pieces = hashlib.sha256(), 0, 0
    try:
        while piece := await body.read():
            digest.update(piece)
            size += len(piece)
            pieces += 1
            if pieces % 1000 == 0:
                print(f"{size:,} bytes so far")
    except bridge.ClientDisconnected:
        print(f"the client left after {size:,} bytes")
        return
    except bridge.RequestError as error:
        await answer(send, error.status, b"text/plain", f"{error}\n".encode())
        return
    told = {"size": size, "pieces": pieces, "sha256": digest.hexdigest()}
    await answer(send, 200, b"application/json", json.dumps(told).encode())


async def answer(send: Any, status: int, content_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
