"""A plain Flask view publishes, and every browser that listens gets it at once.

    asgi-bridge serve --app-dir examples event_stream:app
    uvicorn --app-dir examples event_stream:app

The Flask app knows nothing of streams: a view sends to a group of the channel layer, and returns.
`/events` is an ASGI 1 consumer. It opens a stream (`text/event-stream`), puts its reply channel
into the group, and returns too: an open stream has no thread. Thousands can be open in a process.
With CHANNELS=redis://127.0.0.1:6379 in their environment, several processes share the news.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from flask import Flask, Response, request

import bridge
from bridge.channels import get_channel_layer, open_layer, set_channel_layer

GROUP = "news"

if "CHANNELS" in os.environ:
    set_channel_layer(open_layer(os.environ["CHANNELS"]))

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>News</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body { font: 17px/1.5 system-ui, sans-serif; max-width: 40em; margin: 2em auto;
padding: 0 1em; overflow-wrap: anywhere }
input, button { font: inherit; max-width: 100% }</style>
<h1>News</h1>
<p id="state">connecting</p>
<form id="publish"><input name="text" placeholder="What is new?" maxlength="500" required>
<button>Publish</button></form>
<ul id="news"></ul>
<script>
const events = new EventSource("/events");  // the browser connects again by itself
events.onopen = () => state.textContent = "listening";
events.onerror = () => state.textContent = "connecting again";
events.onmessage = event => {
  const item = document.createElement("li");
  item.textContent = JSON.parse(event.data).text;
  news.prepend(item);
};
// Browsers keep a page that is left for the Back button, with its stream.
addEventListener("pagehide", () => events.close());
addEventListener("pageshow", event => event.persisted && location.reload());
publish.onsubmit = event => {
  event.preventDefault();
  fetch("/publish", { method: "POST", body: new FormData(publish) });
  publish.reset();
};
</script>
</html>
"""

# ------------------------------------------------------------- the Flask app

flask_app = Flask(__name__)


@flask_app.get("/")
def index() -> str:
    return PAGE


@flask_app.post("/publish")
def publish() -> Any:
    """Send to everybody who listens."""
    event = {"text": request.form["text"], "at": time.time()}
    content = f"data: {json.dumps(event)}\n\n".encode()
    get_channel_layer().send_group(GROUP, {"content": content, "more_content": True})
    return Response(status=204)


# ------------------------------------------------------------- the streams


def events(message: Any) -> None:
    """Take the messages of a stream: its request, and that its client has left."""
    reply, layer = message.reply_channel, message.channel_layer
    if message.channel.name == "http.request":
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        reply.send({"status": 200, "headers": headers, "content": b"", "more_content": True})
        layer.group_add(GROUP, reply)
        # Now it misses nothing. A browser that loses the stream asks again after a second.
        reply.send({"content": b"retry: 1000\n\n", "more_content": True})
    elif message.channel.name == "http.disconnect":
        layer.group_discard(GROUP, reply)


app = bridge.Dispatcher({"/": flask_app, "/events": bridge.from_asgi1(events)})
