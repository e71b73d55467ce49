"""Nothing in the corpus has two readings, however its bytes are cut and whoever answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import StartHost
from tests.support.apps.echo import app
from tests.support.corpus import Case, cases
from tests.support.hosts import bridge
from tests.support.in_loop import InLoop, bytewise, cuts, in_loop
from tests.support.raw import Client

CASES = list(cases())
TOPICS = sorted({case.topic for case in CASES})
WSGI = "tests.support.apps.echo:wsgi_app"
SERVERS = {
    "asgi": bridge("tests.support.apps.echo:app", "--no-access-log"),
    "thread": bridge(WSGI, "--no-access-log"),
    "greenlet": bridge(WSGI, "--no-access-log", "--runner=greenlet"),
    "inline": bridge(WSGI, "--no-access-log", "--runner=inline"),
}
on_every_server = pytest.mark.parametrize("kind", sorted(SERVERS))


def of(topic: str) -> list[Case]:
    return [case for case in CASES if case.topic == topic]


@pytest.fixture(scope="module")
def server() -> Iterator[InLoop]:
    with in_loop(app) as server:
        yield server


def test_corpus_is_large() -> None:
    """S3: the corpus has at least 150 different connections, each with its allowed outcomes."""
    assert len({case.data for case in CASES}) >= 150
    assert len({str(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("topic", TOPICS)
def test_whole_and_bytewise(server: InLoop, topic: str) -> None:
    """S3: each case has its allowed outcome, whole and byte by byte; nothing follows an error."""
    for case in of(topic):
        case.check(server.talk([case.data]))
        case.check(server.talk(bytewise(case.data)))


@pytest.mark.parametrize("topic", TOPICS)
def test_cut_at_every_position(server: InLoop, topic: str) -> None:
    """S3: each case has its allowed outcome when it comes in two pieces, cut anywhere."""
    for case in of(topic):
        for pieces in cuts(case.data):
            case.check(server.talk(pieces))


def test_same_answer_however_cut(server: InLoop) -> None:
    """S3: where several statuses are allowed, it is the same one however the bytes are cut."""
    for case in CASES:
        if any("|" in answer for answer in case.answers):
            whole, *others = (
                [response.status for response in case.read(server.talk(pieces))]
                for pieces in ([case.data], bytewise(case.data), *cuts(case.data))
            )
            assert others == [whole] * len(others), case


@on_every_server
def test_on_the_wire(shared_host: StartHost, kind: str) -> None:
    """S3: each case has its allowed outcome over TCP, for ASGI and for WSGI apps."""
    host = shared_host(SERVERS[kind])
    for case in CASES:
        with Client(host.connect()) as client:
            if client.send_pieces([case.data]):
                client.send_pieces([b""])
                end_sending(client)
            case.check(client.everything())


@on_every_server
def test_bytewise_on_the_wire(shared_host: StartHost, kind: str) -> None:
    """S3: each case that is not long has its allowed outcome over TCP, sent byte by byte."""
    host = shared_host(SERVERS[kind])
    for case in CASES:
        if len(case.data) < 1000:
            with Client(host.connect()) as client:
                if client.send_bytewise(case.data):
                    end_sending(client)
                case.check(client.everything())


@on_every_server
def test_no_case_harms_another_connection(shared_host: StartHost, kind: str) -> None:
    """S3: an ordinary request on another connection is answered after each case."""
    host = shared_host(SERVERS[kind])
    with Client(host.connect()) as other:
        for number, case in enumerate(CASES):
            with Client(host.connect()) as client:
                client.send_pieces([case.data])
                # Another head each time: one that is repeated would not be read at all.
                answer = other.get(f"/other/{number}")
                assert answer.value(b"x-saw") == b"GET /other/%d" % number


def end_sending(client: Client) -> None:
    """Half-close, where the server has not closed first."""
    try:
        client.end_sending()
    except OSError:
        pass
