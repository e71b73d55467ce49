"""Errors: whose fault, which status, what a response must have, and how people read them."""

from __future__ import annotations

import pytest

from bridge import errors
from bridge.errors import (
    BridgeError,
    ChannelFull,
    ClientDisconnected,
    IllegalResponse,
    LayerUnavailable,
    LifespanFailed,
    NotOnAsyncio,
    Overloaded,
    RequestAnswered,
    RequestCancelled,
    RequestError,
    RequestTimeout,
    SelfRequest,
    peer_name,
    pluralize,
    shown,
)

ALL = [each for each in vars(errors).values() if isinstance(each, type)]


def test_one_base() -> None:
    """Everything that the toolkit raises on purpose can be caught as `BridgeError`."""
    assert len(ALL) > 10
    assert all(issubclass(each, BridgeError) for each in ALL)


def test_statuses() -> None:
    """S6, W52: the status of a client's fault, of too much work, and of everything else."""
    assert {each: each.status for each in ALL if each.status != 500} == {
        RequestError: 400,
        ClientDisconnected: 499,
        RequestAnswered: 499,
        RequestCancelled: 499,
        RequestTimeout: 504,
        Overloaded: 503,
        ChannelFull: 503,
        LayerUnavailable: 503,
        SelfRequest: 503,
    }
    assert RequestError("too large", 413).status == 413
    assert RequestError("malformed").status == 400


def test_who_is_told() -> None:
    """S6, W53: a client is told what it did wrong, and an app that asks itself; nobody else."""
    assert [each for each in ALL if each.public] == [RequestError, SelfRequest]
    assert {each.fields for each in (Overloaded, SelfRequest)} == {((b"retry-after", b"1"),)}
    assert BridgeError.fields == ()


def test_what_they_are_besides() -> None:
    """W20, W34: a client that left is an OSError; the validator's word is an AssertionError."""
    assert issubclass(ClientDisconnected, OSError)
    assert issubclass(IllegalResponse, AssertionError)


def test_phases_of_lifespan() -> None:
    """P2: which of the two failed is told, and startup is the common case."""
    assert LifespanFailed("no database").phase == "startup"
    assert LifespanFailed("no database", "shutdown").phase == "shutdown"


def test_another_loop() -> None:
    """W55: a host that runs trio is told what to start it with."""
    assert "AsgiToWsgi runs on asyncio" in str(NotOnAsyncio("AsgiToWsgi"))


@pytest.mark.parametrize(
    ("number", "what", "said"),
    [
        (0, "request", "0 requests"),
        (1, "request", "1 request"),
        (2, "request", "2 requests"),
        (1, "piece of work", "1 piece of work"),
        (3, "piece of work", "3 pieces of work"),
    ],
)
def test_pluralize(number: int, what: str, said: str) -> None:
    """S6: numbers are told with the right form of their noun."""
    assert pluralize(number, what) == said


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (("127.0.0.1", 4000), "127.0.0.1:4000"),
        (("::1", 4000), "[::1]:4000"),
        (("::1", 4000, 0, 0), "[::1]:4000"),
        (None, "a client without an address"),
        ("", "a client without an address"),
    ],
)
def test_names_of_clients(client: object, said: str) -> None:
    """S6: a client is named as people write addresses, on a Unix socket too."""
    assert peer_name(client) == said


def test_what_is_shown_of_a_thing_has_no_address() -> None:
    """D2: functions and classes by the names by which one finds them; the rest is not long."""
    assert shown(test_statuses) == "the function tests.test_errors.test_statuses"
    assert shown("a" * 100) == "'" + "a" * 79
    assert shown(object()) == "<object object>"
    assert shown([object()]) == "[<object object>]"
    assert shown(RequestError) == "the class bridge.errors.RequestError"
