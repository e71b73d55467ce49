"""Messages between a supervisor and a worker, over a real socket pair."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from bridge.server.process.channel import MOST_WAITING, Channel, ChannelClosed


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    ends = Channel.pair()
    yield ends
    for each in ends:
        each.close()


@pytest.fixture
def raw() -> Iterator[tuple[socket.socket, Channel]]:
    """A socket that any bytes can be sent by, and the channel at its other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, Channel(theirs)


def test_messages_come_in_order_in_both_directions(pair: tuple[Channel, Channel]) -> None:
    """What one side sends, the other receives; nothing has come yet: an empty list."""
    supervisor, worker = pair
    assert worker.receive() == []
    supervisor.send({"type": "serve"})
    supervisor.send({"type": "stop", "grace": 1.5})
    worker.send({"type": "beat", "served": 3})
    assert worker.receive() == [{"type": "serve"}, {"type": "stop", "grace": 1.5}]
    assert supervisor.receive() == [{"type": "beat", "served": 3}]


def test_the_end_of_the_other_process_is_told_after_its_last_message(
    pair: tuple[Channel, Channel],
) -> None:
    """Last words are read first; then both sending and receiving say that it is gone."""
    supervisor, worker = pair
    worker.send({"type": "failed", "code": 3})
    worker.close()
    assert supervisor.receive() == [{"type": "failed", "code": 3}]
    with pytest.raises(ChannelClosed):
        supervisor.receive()
    with pytest.raises(ChannelClosed):
        supervisor.send({"type": "serve"})
    assert worker.fileno() == -1


def test_a_process_that_ends_before_it_has_read_everything(
    pair: tuple[Channel, Channel],
) -> None:
    """Its last words are read all the same; then the system says that it has reset the channel."""
    supervisor, worker = pair
    supervisor.send({"type": "serve"})
    worker.send({"type": "failed", "code": 3})
    worker.close()
    assert supervisor.receive() == [{"type": "failed", "code": 3}]
    with pytest.raises(ChannelClosed):
        supervisor.receive()


def test_a_message_that_comes_in_pieces_is_put_together(raw: tuple[socket.socket, Channel]) -> None:
    """A line is a message when its end has come; what is no message is dropped."""
    ours, channel = raw
    ours.send(b'{"type": "be')
    assert channel.receive() == []
    ours.send(b'at"}\nno json\n[1]\n{"no": "type"}\n{"type": 7}\n')
    assert channel.receive() == [{"type": "beat"}]


def test_a_side_that_reads_nothing_is_given_up(pair: tuple[Channel, Channel]) -> None:
    """Messages wait for a slow side; for one that never reads they do not wait for ever."""
    supervisor, worker = pair
    big = {"type": "beat", "text": "x" * 512 * 1024}
    supervisor.send(big)
    assert supervisor.waiting
    received = worker.receive()
    while not received:
        supervisor.flush()
        received = worker.receive()
    assert received == [big]
    assert not supervisor.waiting
    for _ in range(7):
        supervisor.send(big)
    with pytest.raises(ChannelClosed, match="read nothing"):
        send_often(supervisor, big)


def send_often(channel: Channel, message: dict[str, str]) -> None:
    for _ in range(20):
        channel.send(message)


def test_a_line_without_end_is_no_message(raw: tuple[socket.socket, Channel]) -> None:
    """A side that sends bytes and never a line is as good as gone."""
    ours, channel = raw
    ours.settimeout(5)
    for _ in range(MOST_WAITING // 65536):
        ours.send(b"x" * 65536)
        assert channel.receive() == []
    ours.send(b"x")
    with pytest.raises(ChannelClosed):
        channel.receive()


def test_a_message_that_the_other_side_would_not_take_is_not_sent(
    pair: tuple[Channel, Channel], caplog: pytest.LogCaptureFixture
) -> None:
    """P7: nobody is taken for gone because of it."""
    supervisor, worker = pair
    supervisor.send({"type": "routes", "texts": "x" * MOST_WAITING})
    supervisor.send({"type": "serve"})
    assert worker.receive() == [{"type": "serve"}]
    assert "a message (routes) has" in caplog.text


def test_many_messages_that_wait_are_taken_in_parts(pair: tuple[Channel, Channel]) -> None:
    """P7: much that waits is not one message without an end."""
    supervisor, worker = pair
    worker._read += b'{"type":"beat"}\n' * (MOST_WAITING // 16 + 1)
    supervisor.send({"type": "serve"})
    assert len(worker.receive()) > MOST_WAITING // 16
