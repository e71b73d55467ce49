"""A chat: one ASGI 1 consumer with a group, for the page and its WebSockets.

    asgi-bridge serve --app-dir examples asgi1_chat:consumer
    gunicorn --chdir examples -k bridge.server.gunicorn.BridgeWorker asgi1_chat:consumer
    uvicorn --app-dir examples asgi1_chat:app --lifespan off

The consumer is called with one message at a time: a request, a WebSocket that opens, what it says,
and its end. What it knows of who is there is in the group, and so in the channel layer. With
CHANNELS=redis://127.0.0.1:6379 in their environment, several processes serve one chat.
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import urlsplit

import bridge
from bridge.channels import open_layer, set_channel_layer

GROUP = "chat"

if "CHANNELS" in os.environ:
    set_channel_layer(open_layer(os.environ["CHANNELS"]))

PAGE = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Chat</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body { font: 17px/1.5 system-ui, sans-serif; max-width: 40em; margin: 2em auto;
padding: 0 1em; overflow-wrap: anywhere }
input, button { font: inherit; max-width: 100% } #name { width: 8em }
#heard { list-style: none; padding: 0; min-height: 8em } .note { color: #666 }</style>
<h1>Chat</h1>
<p class="note" id="state">connecting</p>
<ul id="heard"></ul>
<form id="say"><input id="name" placeholder="name" maxlength="20" required>
<input id="text" placeholder="message" maxlength="500" autocomplete="off" required>
<button>Send</button></form>
<script>
let socket, pause = 500;
function show(text, kind) {
  const line = document.createElement("li");
  line.textContent = text;
  line.className = kind;
  heard.append(line);
}
function open() {
  socket = new WebSocket(new URL("talk", location.href).href.replace(/^http/, "ws"));
  socket.onopen = () => { state.textContent = "connected"; pause = 500; };
  socket.onmessage = event => {
    const { name, text, note } = JSON.parse(event.data);
    note ? show(note, "note") : show(`${name}: ${text}`, "");
  };
  // The server restarts, the laptop sleeps, the train is in a tunnel: try again, ever more slowly.
  socket.onclose = () => {
    state.textContent = "connecting again";
    setTimeout(open, pause *= 1.5);
  };
}
say.onsubmit = event => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ name: say.name.value, text: say.text.value }));
  say.text.value = "";
};
open();
</script>
</html>
"""


def consumer(message: Any) -> None:
    """Take any message of ASGI 1."""
    handlers = {
        "http.request": page,
        "websocket.connect": enter,
        "websocket.receive": talk,
        "websocket.disconnect": leave,
    }
    handler = handlers.get(message.channel.name)
    if handler is not None:
        handler(message)


def page(message: Any) -> None:
    """Answer a request."""
    found = message["path"] == "/"
    message.reply_channel.send(
        {
            "status": 200 if found else 404,
            "headers": [(b"content-type", b"text/html; charset=utf-8")],
            "content": PAGE if found else b"There is only / here.\n",
        }
    )


def enter(message: Any) -> None:
    """Accept a WebSocket of our own page, and let it hear what is said."""
    if not is_from_here(dict(message["headers"])):
        message.reply_channel.send({"accept": False})
        return
    message.reply_channel.send({"accept": True})
    message.channel_layer.group_add(GROUP, message.reply_channel)
    tell_all(message, note="Somebody has come in.")


def talk(message: Any) -> None:
    """Pass on what somebody says."""
    try:
        said = json.loads(message["text"])
        name, text = str(said["name"])[:20], str(said["text"])[:500]
    except (KeyError, TypeError, ValueError):
        message.reply_channel.send({"close": 1003})  # it is not our page that talks
        return
    tell_all(message, name=name, text=text)


def leave(message: Any) -> None:
    """Forget a WebSocket that has ended, however it did."""
    message.channel_layer.group_discard(GROUP, message.reply_channel)
    tell_all(message, note="Somebody has left.")


def tell_all(message: Any, **said: str) -> None:
    message.channel_layer.send_group(GROUP, {"text": json.dumps(said)})


def is_from_here(headers: dict[bytes, bytes]) -> bool:
    """Whether our own page asks: a browser lets any page open a WebSocket, and says which one."""
    origin = headers.get(b"origin")
    return origin is None or urlsplit(origin.decode("latin-1")).netloc.encode("latin-1") == (
        headers.get(b"host")
    )


#: The same for another ASGI server.
app = bridge.from_asgi1(consumer)
