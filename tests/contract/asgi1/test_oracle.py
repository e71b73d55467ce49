"""Our server makes of requests and WebSockets what daphne 1.4 and Channels 1.1 made of them (L7).

The recording is ``tests/data/asgi1/oracle.json``; how it is made stands in ``record.py`` beside it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.asgi1.comparison import RULES, Step, differences
from tests.contract.asgi1.known import KNOWN, RAISING, REFUSED, seen_here
from tests.contract.asgi1.replay import (
    GRACE,
    MODES,
    ORACLE,
    TALKS,
    Talks,
    replay,
    said_ahead,
    steps_of,
)


@pytest.fixture(scope="module")
def here(request: pytest.FixtureRequest) -> Iterator[Talks]:
    """``here(name, mode)``: a talk as our server has it."""

    def say(name: str, mode: str) -> list[Step]:
        return replay(name, MODES[mode], 0.2 if name in REFUSED else GRACE)

    with said_ahead(request, say) as talks:
        yield talks


def modes(name: str) -> list[str]:
    """The modes in which a talk is said.

    What a reply raises makes the response only where it raises in a call; and who is called on the
    loop cannot wait there for the rest of a large body.
    """
    told = [mode for mode in MODES if MODES[mode].at_once or name not in RAISING]
    return [mode for mode in told if MODES[mode].runner != "inline" or name != "body: large"]


def test_the_recording_is_large_and_of_the_historic_stack() -> None:
    """L7: more than 60 talks, of requests and of WebSockets, and the versions that made them."""
    assert len(TALKS) > 150
    kinds = {step[1] for talk in TALKS.values() for step in talk["steps"] if step[0] == "message"}
    assert {
        "http.request", "http.disconnect",
        "websocket.connect", "websocket.receive", "websocket.disconnect",
    } <= kinds  # fmt: skip
    versions = {"daphne": "1.4.2", "channels": "1.1.8", "asgiref": "1.1.2"}
    assert versions.items() <= ORACLE["versions"].items()


@pytest.mark.parametrize(("name", "mode"), [(name, mode) for name in TALKS for mode in modes(name)])
def test_same_messages_and_answers(here: Talks, name: str, mode: str) -> None:
    """L7: the same bytes and replies make the same messages and answers, but for what is known."""
    steps = steps_of(name, MODES[mode])
    found = differences(steps, here(name, mode))
    assert {place: ours for place, (_, ours) in found.items()} == seen_here(name, steps), found


def test_table_has_no_row_without_a_talk() -> None:
    """L7: each row of the table is of a recorded talk, and has its reason."""
    assert set(KNOWN) <= set(TALKS)
    assert all(len(why) > 20 for rows in KNOWN.values() for _, why in rows.values())


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_needed(here: Talks, rule: str) -> None:
    """L7: nothing is left out of the comparison that does not differ in some talk."""
    others = [name for name in RULES if name != rule]
    assert any(
        {*differences(talk["steps"], here(name, "a plain consumer"), others)}
        - {*KNOWN.get(name, {})}
        for name, talk in TALKS.items()
    )
