"""What is said of each awkward app, and of good ones: the right thing, and nothing else (M51)."""

from __future__ import annotations

import pytest

from tests.support.checking import at, checked, ids, the

#: App -> what is found, and in which function, if that can be known.
WSGI = {
    "pep3333:good": {},
    "pep3333:generating": {},
    "pep3333:writes": {"write": "writes"},
    "pep3333:text": {"str-body": "text"},
    "pep3333:bare_bytes": {"str-body": "bare_bytes"},
    "pep3333:twice": {"start-twice": "twice"},
    "pep3333:never": {"no-start": "never"},
    "pep3333:lying": {"length-lies": "lying"},
    "pep3333:number": {"illegal-head": "number"},
    "pep3333:hopping": {"lenient-head": "hopping"},
    "pep3333:late": {"late-read": "late"},
    "pep3333:after_the_end": {"read-after-end": "after_the_end.__init__"},
    "pep3333:greedy": {"unbounded-read": "greedy"},
    "pep3333:by_length": {"needs-length": ""},
    "states:keeps": {"thread-state": ""},
    "states:connects": {"thread-connection": "", "c-driver": "connects"},
    "states:tidy": {},
    "troubled:raises": {"raises": "raises"},
    "troubled:unavailable": {"status-5xx": ""},
    "troubled:endless": {"endless": ""},
    "troubled:waits": {"waits": "waits"},
    "troubled:not_closing": {"waits": "waits", "not-closed": ""},
    "troubled:closing": {"waits": "waits"},
}

ASGI = {
    "asgi:good": {"sockets-on-wsgi": ""},
    "asgi:plain": {"no-lifespan": "", "websocket-raises": "plain"},
    "asgi:broken_start": {"lifespan-raises": "broken_start", "websocket-raises": "_answer"},
    "asgi:refusing_start": {"lifespan-fails": "", "websocket-raises": "_answer"},
    "blocking:sleepy": {
        "blocks-loop": "sleepy",
        "blocking-call": "elsewhere",
        "no-lifespan": "",
        "websocket-raises": "sleepy",
    },
    "asgi:text": {"illegal-message": "text", "no-lifespan": "", "websocket-raises": "text"},
    "asgi:silent": {"no-response": "silent", "no-lifespan": "", "websocket-raises": "silent"},
    "asgi:half": {"no-response": "half", "no-lifespan": "", "websocket-raises": "half"},
    "asgi:lying": {"length-lies": "", "no-lifespan": "", "websocket-raises": "lying"},
}


@pytest.mark.parametrize("target", WSGI)
def test_wsgi_apps(target: str) -> None:
    """M51: each thing is found, with its place, and nothing else."""
    report = checked(target, unsafe=("/post",))
    assert ids(report) == set(WSGI[target])
    for id, function in WSGI[target].items():
        if function:
            assert at(next(each for each in report.all_findings if each.id == id)) == function


@pytest.mark.parametrize("target", ASGI)
def test_asgi_apps(target: str) -> None:
    """M51: each thing is found, with its place, and nothing else."""
    report = checked(target)
    assert ids(report) == set(ASGI[target])
    for id, function in ASGI[target].items():
        if function:
            assert at(next(each for each in report.all_findings if each.id == id)) == function


@pytest.mark.parametrize("target", ["troubled:hangs", "asgi:hangs"])
def test_an_app_that_hangs_is_told(target: str) -> None:
    """M51: with the line at which it stands; soon nothing more is sent."""
    report = checked(target, seconds=0.2)
    found = the(report, "hangs")
    assert at(found) == "hangs"
    assert found.text == "GET / is not answered within 0.2 s"
    assert report.apps[0].count == 2
    assert "Nothing more was sent: the app hangs." in report.apps[0].remarks


@pytest.mark.parametrize("target", ["troubled:quiet", "asgi:quiet"])
def test_a_quiet_stream_is_no_hang(target: str) -> None:
    """M51: nothing comes for a while, and the check leaves."""
    assert ids(checked(target, seconds=0.1)) - {"no-lifespan", "websocket-raises"} == {"endless"}


@pytest.mark.parametrize(
    ("target", "holds_a_thread"), [("troubled:endless", True), ("asgi:stubborn", False)]
)
def test_an_endless_stream_is_asked_for_twice(target: str, holds_a_thread: bool) -> None:
    """M51: by a client that stays a while, and one that leaves; what it costs fits the app."""
    report = checked(target, seconds=0.2)
    assert report.apps[0].sent.startswith("2 x GET /;")
    found = [each for each in report.all_findings if each.id == "endless"]
    assert {"hold a thread" in each.advice for each in found} == {holds_a_thread}


def test_a_lifespan_that_is_never_answered() -> None:
    """M51: is told, and the recommended command does without it."""
    report = checked("asgi:deaf", seconds=0.3)
    assert ids(report) == {"lifespan-hangs", "websocket-raises"}
    assert report.advice.command == "asgi-bridge serve asgi:deaf --lifespan off"


def test_streams_that_go_on_without_their_client() -> None:
    """M51: are told, with the line at which they wait."""
    report = checked("asgi:stubborn", seconds=0.2)
    assert at(the(report, "ignores-leaving")) == "stubborn"
