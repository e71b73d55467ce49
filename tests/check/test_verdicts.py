"""What the findings mean for each way to serve (M51)."""

from __future__ import annotations

from bridge.check.catalogue import CATALOGUE
from bridge.check.catalogue.entry import ALL_WAYS
from bridge.check.findings import Findings
from bridge.check.verdicts import advice, unseen, verdicts

COMMAND = "asgi-bridge serve shop:app"


def found(*ids: str) -> Findings:
    """Findings of these ids, with anything for values."""
    findings = Findings()
    values = dict.fromkeys(
        ("what", "seen", "said", "sent", "error", "phase", "library", "call", "request"), "x"
    )
    for id in ids:
        findings.add(id, **values, seconds=1.0)
    return findings


def test_each_way_has_a_verdict() -> None:
    """M51: what fails wins over what needs care, and nothing is said to work."""
    said = {each.way: str(each) for each in verdicts("wsgi", found("waits", "thread-state"))}
    assert said == {
        "thread": "with care: thread-state",
        "greenlet --patch": "with care: thread-state",
        "greenlet": "with care: thread-state, waits",
        "inline": "will not do: waits",
        "WsgiToAsgi": "with care: thread-state",
        "WSGI servers": "with care: thread-state",
    }
    assert {str(each) for each in verdicts("asgi3", found())} == {"nothing seen against it"}


def test_one_thread_is_what_such_an_app_had() -> None:
    """M51: what waits is no reason against inline then, and inline is what is recommended."""
    findings = found("c-driver", "waits", "thread-bound")
    said = {each.way: str(each) for each in verdicts("wsgi", findings)}
    assert said["thread"] == "will not do: thread-bound"
    assert said["inline"].startswith("with care: ")
    command = advice(COMMAND, ["wsgi"], findings, 8).command
    assert command == f"{COMMAND} --runner inline --workers 4"


def test_every_way_in_the_catalogue_exists() -> None:
    """M51: an entry cannot speak of a way that nobody has."""
    for entry in CATALOGUE.values():
        assert {*entry.care, *entry.fails} <= {*ALL_WAYS}


def test_what_was_looked_for_and_not_found() -> None:
    """M51: is named, by kind of app."""
    assert "write()" in unseen("wsgi", found("waits"))
    assert "calls that wait" not in unseen("wsgi", found("waits"))
    assert "calls that block the loop" in unseen("asgi2", found())


def test_the_recommended_command() -> None:
    """M51: fits what was found, and says why."""
    said = advice(COMMAND, ["wsgi"], found(), 8)
    assert said.command == f"{COMMAND} --runner thread --threads 8"
    assert said.why == "threads suit every WSGI app"
    assert "wait in C" in advice(COMMAND, ["wsgi"], found("c-driver"), 8).why
    assert advice(COMMAND, ["asgi3"], found(), 8).command == COMMAND
    assert advice(COMMAND, ["asgi3"], found("lifespan-raises"), 8).command.endswith("--lifespan on")
    assert advice(COMMAND, ["wsgi"], found("start-twice"), 8).why.endswith("errors are mended")
    gevent = advice(COMMAND, ["wsgi"], found("gevent"), 8)
    assert gevent.command == "gunicorn -k gevent shop:app"
