"""What the log says of blocks, and how often."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from bridge.loops.watchdog.block import Block
from bridge.loops.watchdog.log import PERIOD, BlockLog
from bridge.loops.watchdog.stack import Place, Stack

VIEW = Place("/srv/shop/views.py", 12, "view")
STACK = Stack((VIEW,), 0, "GET /slow", "WSGI", in_greenlet=True, is_debugged=False)


def block(stack: Stack = STACK, since: float = 100.0) -> Block:
    return Block(stack, 1, since, alone=False, seconds=0.1, lasted=0.1)


def end(block: Block, seconds: float) -> Block:
    block.ended, block.seconds, block.lasted = True, seconds, seconds
    return block


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return lines


def test_a_block_has_a_line_when_it_is_found_and_one_at_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """R3, G9: with the request, the line, what to do, and the stack; then the whole time."""
    log, one = BlockLog(), block()
    log(one)
    one.seconds = one.lasted = 0.2
    log(one)
    log(end(one, 0.31))
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert said(caplog) == [
        "the event loop has been blocked for 0.10 s by GET /slow, at /srv/shop/views.py:12 in "
        "view. Run such calls by bridge.in_thread, or the app with --runner thread:\n"
        '  File "/srv/shop/views.py", line 12, in view',
        "the event loop turns again: it was blocked for 0.31 s by GET /slow, at "
        "/srv/shop/views.py:12 in view",
    ]


@pytest.mark.parametrize(
    ("kind", "in_greenlet", "advice"),
    [
        ("WSGI", True, "bridge.in_thread"),
        ("WSGI", False, "for apps that never block"),
        ("ASGI", False, "asyncio.to_thread"),
        ("", True, "asyncio.to_thread"),
    ],
)
def test_the_advice_fits_the_kind_of_app(
    caplog: pytest.LogCaptureFixture, kind: str, in_greenlet: bool, advice: str
) -> None:
    """R3: under each runner another thing helps."""
    BlockLog()(block(replace(STACK, kind=kind, in_greenlet=in_greenlet)))
    assert advice in caplog.text


def test_the_first_advice_without_the_patch_is_the_patch(caplog: pytest.LogCaptureFixture) -> None:
    """R3: a greenlet that no patch lets wait needs that first; the inline runner does not."""
    BlockLog(lambda: False)(block())
    assert "in view. Start with --patch, with which sleeps, sockets and locks let" in caplog.text
    caplog.clear()
    BlockLog(lambda: False)(block(replace(STACK, in_greenlet=False)))
    assert "--patch" not in caplog.text


def test_what_could_not_run_all_the_time_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    """R3: the time of the call itself, and the time that it took on a machine that is busy."""
    one = block()
    one.seconds, one.lasted, one.alone = 0.4, 1.2, True
    BlockLog()(one)
    (line,) = said(caplog)
    assert "blocked for 0.40 s (of 1.20 s; for the rest it could not run) by GET /slow" in line
    assert "in view; it lets no other thread run. " in line


def test_a_library_and_the_app_s_line_are_both_told(caplog: pytest.LogCaptureFixture) -> None:
    """R3: the last line of the app's own, and the last one of all."""
    inner = Place("/usr/lib/site-packages/client.py", 7, "read")
    BlockLog()(block(replace(STACK, places=(VIEW, inner), request="")))
    assert f"for 0.10 s at {VIEW}, in {inner}. " in caplog.text


def test_the_same_line_is_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """R3: once in ten seconds; in between it is counted, and then told how often."""
    log = BlockLog()
    log(one := block())
    log(end(one, 0.2))
    for since in (101.0, 102.0, 103.0):
        log(again := block(since=since))
        log(end(again, 0.5))
    other = replace(STACK, places=(Place("/srv/shop/views.py", 99, "other"),))
    log(block(other, 104.0))
    assert len(said(caplog)) == 3
    log.look(100 + PERIOD - 1)
    assert said(caplog) == []
    log.look(100 + PERIOD)
    assert said(caplog) == [
        "the event loop was blocked 3 more times in 10 s, for 1.50 s in all, at "
        "/srv/shop/views.py:12 in view"
    ]
    log(block(since=101 + PERIOD))
    assert said(caplog) == []
    log.look(100 + 2 * PERIOD)
    log(block(since=101 + 2 * PERIOD))
    (line,) = said(caplog)
    assert line.startswith("the event loop has been blocked for 0.10 s by GET /slow")
    log.look(1000)
    log.look(2000)
    assert said(caplog) == []


def test_few_lines_of_code_are_remembered(caplog: pytest.LogCaptureFixture) -> None:
    """R3: code that is made while it runs does not fill the memory."""
    log = BlockLog()
    for number in range(1000):
        log(block(replace(STACK, places=(Place("<string>", number, "f"),))))
    assert len(log._told) <= 256


def test_a_block_that_lasts_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    """R3: now and then, while it lasts: that nobody else is served, and what can be done."""
    log, one = BlockLog(), block()
    for lasted in (0.1, 1.9, 2.0, 2.1, 7.9, 8.0, 31.9, 32.0):
        one.seconds = one.lasted = lasted
        log(one)
    first, *later = said(caplog)
    assert first.startswith("the event loop has been blocked for 0.10 s")
    assert [each.partition(" by ")[0] for each in later] == [
        f"the event loop is still blocked, for {seconds} s" for seconds in ("2.00", "8.00", "32.00")
    ]
    assert "by GET /slow, at /srv/shop/views.py:12 in view. Nothing else is served" in later[0]
    assert "cannot be ended if it is a call in C" in later[0]
    log(end(one, 40.0))
    assert [each.partition(":")[0] for each in said(caplog)] == ["the event loop turns again"]


def test_a_line_that_was_told_just_before_is_told_if_it_lasts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """R3: a short block of a line does not hide that the next one does not end."""
    log = BlockLog()
    first = block()
    log(first)
    log(end(first, 0.2))
    said(caplog)
    second = block(since=101.0)
    log(second)
    assert said(caplog) == []
    second.seconds = second.lasted = 2.1
    log(second)
    assert [each.partition(" by ")[0] for each in said(caplog)] == [
        "the event loop has been blocked for 2.10 s"
    ]
