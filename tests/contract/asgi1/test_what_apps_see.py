"""What an app sees of a recorded request: the `Message` of Channels 1.1, and Django's request (L7).

Channels made a Django request of a message (`AsgiRequest`); its ``META`` is an environ. So a WSGI
app on our server must see the same of the same bytes, whichever way it goes.
"""

from __future__ import annotations

import queue
from typing import Any

import pytest

from bridge import from_asgi1
from bridge.channels import get_channel_layer
from tests.contract.asgi1.known import KNOWN_ANSWERS, KNOWN_ENVIRONS, REFUSED
from tests.contract.asgi1.replay import GRACE, ORACLE, PATIENCE, TALKS, Consumers, plain
from tests.data.asgi1.talk import Talk
from tests.support.raw import Client
from tests.support.serving import served

# ------------------------------------------------------------- the message

#: Channel -> [question, answer].
OBJECTS: dict[str, list[list[Any]]] = ORACLE["objects"]


def ask(message: Any) -> list[list[Any]]:
    """What our message answers to the questions that Channels' own was asked."""
    answers = []
    names = {"message": message, "layer": get_channel_layer()}
    for question, _ in OBJECTS[message.channel.name]:
        try:
            answer = eval(question, names)
            plain = answer is None or isinstance(answer, (str, int))
            answers.append([question, answer if plain else type(answer).__name__])
        except Exception as error:
            answers.append([question, {"raises": type(error).__name__}])
    return answers


def asked_first(found: dict[str, list[list[Any]]], answer: Any) -> Any:
    """A consumer that asks the first message of each channel, and then does as `answer`."""

    def consumer(message: Any) -> None:
        found.setdefault(message.channel.name, ask(message.copy()))
        answer(message)

    return consumer


@pytest.fixture(scope="module")
def answers() -> dict[str, list[list[Any]]]:
    """Channel -> the answers of a message that came by it."""
    found: dict[str, list[list[Any]]] = {}
    for name in ("path: plain", "open: text"):
        steps = TALKS[name]["steps"]
        consumers = Consumers(steps, at_once=True)
        with served(from_asgi1(asked_first(found, plain(consumers)))) as server:
            Talk(server.port, consumers, PATIENCE, GRACE).run(steps)
    return found


@pytest.mark.parametrize("channel", OBJECTS)
def test_message_answers_as_that_of_channels(
    answers: dict[str, list[list[Any]]], channel: str
) -> None:
    """L7: keys, attributes, copies and errors of a message are those of Channels 1.1."""
    expected = [
        [question, KNOWN_ANSWERS.get((channel, question), (recorded, ""))[0]]
        for question, recorded in OBJECTS[channel]
    ]
    assert answers[channel] == expected


def test_known_answers_differ() -> None:
    """L7: each row of the table is of a question, and differs from the recording."""
    asked = {
        (channel, question): answer for channel in OBJECTS for question, answer in OBJECTS[channel]
    }
    for row, (ours, why) in KNOWN_ANSWERS.items():
        assert asked[row] != ours
        assert len(why) > 20


# ------------------------------------------------------------- the request

#: Talks of one request, of which Channels made a request of Django's.
REQUESTS = [
    name
    for name, talk in TALKS.items()
    if "META" in talk.get("request", {}) and name not in REFUSED
]


def environ_of(name: str) -> dict[str, Any]:
    """The environ that a WSGI app gets for the bytes of a talk, as Channels would say it."""
    got: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        got.put({**environ, "body": environ["wsgi.input"].read()})
        start_response("200 OK", [])
        return [b"hello"]

    talk = TALKS[name]
    settings: dict[str, Any] = {"proxy_headers": "forwarded" in talk["settings"]}
    if "root_path" in talk["settings"]:
        settings["root_path"] = talk["settings"]["root_path"]
    with served(app, **settings) as server, server.connect() as client:
        for kind, *given in talk["steps"]:
            if kind == "client":
                client.send(given[0])
            elif kind == "interim":
                wait_for_continue(client)
        return got.get(timeout=PATIENCE)


def wait_for_continue(client: Client) -> None:
    """Read a 100 Continue."""
    assert client.line().startswith(b"HTTP/1.1 100")
    assert client.line() == b""


def as_text(environ: dict[str, Any]) -> dict[str, Any]:
    """An environ of ours with text for the bytes that stand in it as latin-1 (PEP 3333)."""
    texts = ("PATH_INFO", "SCRIPT_NAME", "QUERY_STRING")
    decoded = {name: environ[name].encode("latin-1").decode("utf-8", "replace") for name in texts}
    return {**environ, **decoded}


def comparable(meta: dict[str, Any]) -> dict[str, Any]:
    """Fields, addresses and paths, however values of one name are joined."""
    told = {
        name: value
        for name, value in meta.items()
        if name.startswith("HTTP_") or name in (*PLAIN_KEYS, *ALWAYS)
    }
    if "HTTP_COOKIE" in told:
        told["HTTP_COOKIE"] = told["HTTP_COOKIE"].replace(";", ",")
    joined = {name: value.replace(", ", ",") for name, value in told.items()}
    return {name: value for name, value in joined.items() if value or name in ALWAYS}


PLAIN_KEYS = ("REQUEST_METHOD", "CONTENT_TYPE", "CONTENT_LENGTH", "REMOTE_ADDR", "SERVER_NAME")
#: Keys that may be empty; other empty values are as good as none.
ALWAYS = ("PATH_INFO", "SCRIPT_NAME", "QUERY_STRING")


@pytest.mark.parametrize("name", REQUESTS)
def test_environ_is_that_of_channels(name: str) -> None:
    """L7: a WSGI app gets what Channels 1.1 made of the same bytes for a view of Django."""
    recorded = TALKS[name]["request"]
    environ = environ_of(name)
    expected = {key: recorded[key] for key in ("body", "scheme")} | comparable(recorded["META"])
    ours = {"body": environ["body"], "scheme": environ["wsgi.url_scheme"]}
    ours |= comparable(as_text(environ))
    found = {
        key: (expected.get(key), ours.get(key))
        for key in expected.keys() | ours.keys()
        if expected.get(key) != ours.get(key)
    }
    known = {key: here for key, (here, _) in KNOWN_ENVIRONS.get(name, {}).items()}
    assert {key: here for key, (_, here) in found.items()} == known, found


def test_known_environs_have_reasons() -> None:
    """L7: each row of the table is of a recorded request, and has its reason."""
    assert set(KNOWN_ENVIRONS) <= set(REQUESTS)
    assert all(len(why) > 20 for rows in KNOWN_ENVIRONS.values() for _, why in rows.values())
