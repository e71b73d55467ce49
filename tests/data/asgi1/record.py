"""Record what the historic stack makes of the talks in cases.py: writes oracle.json beside itself.

The stack is daphne with asgiref's layer in the process, and Channels on its consumers' side, as it
was when ASGI 1 ended in 2017. It runs on Python 3.7, and on none that is much newer::

    python3.7 -m venv /tmp/asgi1
    /tmp/asgi1/bin/pip install daphne==1.4.2 channels==1.1.8 asgiref==1.1.2 "Django<2" \\
        twisted==20.3.0 autobahn==20.7.1 "zope.interface<6"
    /tmp/asgi1/bin/python tests/data/asgi1/record.py

It takes about two minutes. Record again only if cases.py changes: the stack does not any more.
Reply channels are numbered in the file, ports have names, and `Date`, `Server` and the fields that
frame a message are left out. Everything else is as it came.
"""

from __future__ import annotations

import json
import logging
import platform
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import pkg_resources
from asgiref.inmemory import ChannelLayer
from cases import http_cases
from daphne.server import Server
from seen import as_request, message_answers
from socket_cases import socket_cases
from talk import Talk, to_json

RESULT = Path(__file__).with_name("oracle.json")
PACKAGES = ("daphne", "channels", "asgiref", "Django", "Twisted", "autobahn", "zope.interface")

#: How long to wait for what does not come, in seconds.
PATIENCE = 4
GRACE = 1

#: The settings of a case, in daphne's words.
SETTINGS = {
    "root_path": lambda value: {"root_path": value},
    "subprotocols": lambda value: {"ws_protocols": value},
    "timeout": lambda value: {"http_timeout": value},
    "connect_timeout": lambda value: {"websocket_connect_timeout": value},
    "forwarded": lambda value: {
        "proxy_forwarded_address_header": "X-Forwarded-For",
        "proxy_forwarded_port_header": "X-Forwarded-Port",
        "proxy_forwarded_proto_header": "X-Forwarded-Proto",
    },
}


class Layer(ChannelLayer):
    """asgiref's layer, which also notes in which order messages were sent to the consumers."""

    def __init__(self):
        super().__init__(capacity=1000)
        self.order = queue.Queue()

    def send(self, channel, message):
        super().send(channel, message)
        if "!" not in channel:
            self.order.put(channel)


class Stack:
    """daphne in a thread, and the consumers' side of its layer."""

    def __init__(self, settings):
        self.layer = Layer()
        arguments = {}
        for name, value in settings.items():
            arguments.update(SETTINGS[name](value))
        self.server = Server(
            self.layer,
            endpoints=["tcp:port=0:interface=127.0.0.1"],
            signal_handlers=False,
            **arguments,
        )
        threading.Thread(target=self.server.run, daemon=True).start()
        while not self.server.listeners:
            time.sleep(0.01)
        self.port = self.server.listeners[0].result.getHost().port
        self.seen = []

    def next(self, timeout):
        """Return the next message and its channel; raises `queue.Empty`."""
        channel = self.layer.order.get(timeout=timeout)
        name, message = self.layer.receive([channel])
        assert name == channel, (name, channel)
        self.seen.append((channel, message))
        return channel, message

    def reply(self, channel, message):
        """Send a reply."""
        self.layer.send(channel, message)

    def talk(self, steps):
        """Run a talk; its steps, with the messages at the end that nobody has waited for."""
        self.seen = []
        talk = Talk(self.port, self, PATIENCE, GRACE)
        told = talk.run(steps)
        for channel, message in self.rest():
            told.append(["afterwards", *talk.told(channel, message)])
        return told

    def rest(self):
        """Return the messages that still come: all that stand before those of a request of ours."""
        mark = b"GET /mark HTTP/1.1\r\nHost: mark\r\nConnection: close\r\n\r\n"
        steps = [["client", mark], ["message"], ["reply", 1, {"status": 200}], ["response"]]
        came = []
        marker = Marker(self, came)
        told = Talk(self.port, marker, PATIENCE, GRACE).run([*steps, ["message"]])
        assert told[-2][1] == "http.disconnect", told
        return came


class Marker:
    """The consumers' side of the request that ends a talk: keeps what came before it in `came`."""

    def __init__(self, stack, came):
        self._stack = stack
        self._came = came

    def next(self, timeout):
        """Return the next message of this request."""
        while True:
            channel, message = self._stack.next(timeout)
            if message.get("path") == "/mark":
                self._stack.seen.pop()
                return channel, message
            self._came.append((channel, message))

    def reply(self, channel, message):
        """Send a reply."""
        self._stack.reply(channel, message)


def record(settings):
    """Return the talks of all cases with these settings, and what a `Message` of each kind is."""
    stack = Stack(settings)
    talks, objects = {}, {}
    for name, wanted, steps in [*http_cases(), *socket_cases()]:
        if wanted != settings:
            continue
        talk = {"settings": settings, "steps": stack.talk(steps)}
        requests = [message for channel, message in stack.seen if channel == "http.request"]
        if len(requests) == 1:
            talk["request"] = as_request(requests[0], stack.layer)
        for channel, message in stack.seen:
            if channel not in objects:
                objects[channel] = message_answers(channel, message, stack.layer)
        talks[name] = talk
        print(name, file=sys.stderr)
    return {"talks": talks, "objects": objects}


def write(talks, objects):
    """Write the file: a line for each step."""
    versions = {name: pkg_resources.get_distribution(name).version for name in PACKAGES}
    versions["Python"] = platform.python_version()
    lines = ["{", f' "versions": {text(versions)},', ' "objects": {']
    kinds = [f"  {text(name)}: {rows(objects[name])}" for name in sorted(objects)]
    lines += [",\n".join(kinds), " },", ' "talks": {']
    told = []
    for name, _, _ in [*http_cases(), *socket_cases()]:
        talk = to_json(talks[name])
        steps = '   "steps": ' + rows(talk.pop("steps"))
        keys = [f"   {text(key)}: {text(talk[key])}," for key in sorted(talk)]
        told.append("\n".join([f"  {text(name)}: {{", *keys, steps, "  }"]))
    lines += [",\n".join(told), " }", "}"]
    RESULT.write_text("\n".join(lines) + "\n")


def text(value):
    """Return `value` as JSON, on one line."""
    return json.dumps(value, sort_keys=True)


def rows(values):
    """Return a list as JSON, with a line for each value."""
    return "[\n" + ",\n".join("    " + text(value) for value in values) + "\n   ]"


def main(arguments):
    """Record all, each kind of settings in a process of its own: daphne runs once in a process."""
    logging.disable(logging.CRITICAL)
    if arguments:
        json.dump(to_json(record(json.loads(arguments[0]))), sys.stdout)
        sys.stdout.flush()
        return
    kinds = []
    for _, settings, _ in [*http_cases(), *socket_cases()]:
        if settings not in kinds:
            kinds.append(settings)
    talks, objects = {}, {}
    for settings in kinds:
        child = [sys.executable, __file__, json.dumps(settings)]
        part = json.loads(subprocess.run(child, stdout=subprocess.PIPE, check=True).stdout)
        talks.update(part["talks"])
        objects = {**part["objects"], **objects}
    write(talks, objects)


if __name__ == "__main__":
    main(sys.argv[1:])
