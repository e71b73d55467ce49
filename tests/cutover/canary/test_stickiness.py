"""Which clients are in the share of the new app."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cutover.canary.stickiness import (
    PLACES,
    Placed,
    Stickiness,
    cookie_field,
    place_of,
    with_cookie,
)
from bridge.errors import ConfigError
from bridge.types import RawHeaders

shares = st.floats(min_value=0, max_value=100)


def placed(setting: str, *fields: tuple[str, str], client: Any = ("192.0.2.1", 1)) -> Placed:
    """The place of a client with these fields; a new one is 4711."""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    return Stickiness(setting).place(headers, client, lambda most: 4711 if most == PLACES else -1)


# ------------------------------------------------------------- places and shares


@given(st.integers(0, PLACES - 1), shares, shares)
def test_a_higher_share_moves_clients_to_the_new_app_only(
    place: int, one: float, two: float
) -> None:
    """M20: while the share climbs nobody goes back, and while it falls nobody goes forth."""
    low, high = sorted((one, two))
    client = Placed(place)
    assert client.on_new(high) or not client.on_new(low)


def test_shares_are_right_to_a_hundredth_of_a_percent() -> None:
    """M20: 0.01 % is one place of 10,000; nobody is below 0, all are below 100."""
    for share, expected in ((0, 0), (0.01, 1), (1, 100), (5, 500), (99.99, 9999), (100, 10_000)):
        assert sum(Placed(place).on_new(share) for place in range(PLACES)) == expected
    assert (Placed(None).on_new(99.99), Placed(None).on_new(100)) == (False, True)


@pytest.mark.parametrize("setting", ["", "cookies", "cookie:", "header", "client:x", "header:a b"])
def test_other_settings_are_refused(setting: str) -> None:
    """M20: the error says what sticky may be."""
    with pytest.raises(ConfigError, match="allowed is cookie "):
        Stickiness(setting)


# ------------------------------------------------------------- our cookie


def test_a_client_without_a_cookie_gets_a_place_and_keeps_it() -> None:
    """M20: the place is drawn once; with the cookie it is known."""
    assert placed("cookie") == (4711, True)
    assert placed("cookie", ("cookie", "a=b; bridge_canary=17; c=d")) == (17, False)
    assert placed("cookie", ("cookie", "a=b"), ("cookie", "bridge_canary=9999")) == (9999, False)
    assert placed("cookie", ("cookie", 'bridge_canary="0"')) == (0, False)


@pytest.mark.parametrize(
    "value", ["", "-1", "10000", "1.5", "١٢".encode().decode("latin-1"), "new", "0x10", "1 2"]
)
def test_a_broken_cookie_is_a_new_place(value: str) -> None:
    """M20: what is forged, cut or foreign is replaced; a valid one behind it counts."""
    assert placed("cookie", ("cookie", f"bridge_canary={value}")) == (4711, True)
    both = f"bridge_canary={value}; bridge_canary=5"
    assert placed("cookie", ("cookie", both)) == (5, False)


@pytest.mark.parametrize("name", ["xbridge_canary", "bridge_canaryx", "BRIDGE_CANARY"])
def test_names_of_cookies_are_compared_whole(name: str) -> None:
    """M20: a cookie of another name is another cookie."""
    assert placed("cookie", ("cookie", f"{name}=5")) == (4711, True)


# ------------------------------------------------------------- what the app or the network has


def test_a_cookie_or_field_of_the_app_has_the_same_place_everywhere() -> None:
    """M20: the hash has no key: each worker, machine and version has these places."""
    assert place_of(b"alice") == 4729
    for setting, field in (
        ("cookie:sid", ("cookie", "sid=alice")),
        ("header:X-Id", ("x-id", "alice")),
    ):
        assert placed(setting, field) == (4729, False)
    assert placed("header:X-Id") == (None, False)
    assert placed("cookie:sid", ("cookie", "sid=")) == (None, False)


def test_places_of_names_that_differ_little_are_spread_evenly() -> None:
    """M20: of 20,000 users about 5 % are in a share of 5 %."""
    users = [Placed(place_of(b"user-%d" % number)) for number in range(20_000)]
    assert 900 < sum(user.on_new(5) for user in users) < 1_100


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("a:name", "a:name", True),
    ],
)
def test_addresses(one: str, other: str, same: bool) -> None:
    """M20: an IPv4 address counts whole, an IPv6 address by its /64; ports do not matter."""
    places = [placed("client", client=(host, port)) for port, host in enumerate((one, other))]
    assert (places[0] == places[1]) is same


@pytest.mark.parametrize("client", [None, ("", 0)])
def test_a_client_without_an_address_gets_the_old_app(client: object) -> None:
    """M20: on a Unix socket without a proxy nobody can be told apart."""
    assert placed("client", client=client).place is None


# ------------------------------------------------------------- the response


def fields(*given: str) -> list[str]:
    """The fields that a response with these has afterwards."""
    headers: RawHeaders = []
    for each in given:
        name, _, value = each.partition(": ")
        headers.append((name.encode(), value.encode()))
    added = with_cookie(headers, cookie_field(17, "http"))
    return [f"{name.decode()}: {value.decode()}" for name, value in added]


COOKIE = "set-cookie: bridge_canary=17; Max-Age=7776000; Path=/; HttpOnly; SameSite=Lax"


def test_the_cookie_has_its_flags() -> None:
    """M20: scripts do not see it, other sites do not send it; on HTTPS it stays there."""
    value = COOKIE.removeprefix("set-cookie: ").encode()
    for scheme in ("http", "ws"):
        assert cookie_field(17, scheme) == (b"set-cookie", value)
    for scheme in ("https", "wss"):
        assert cookie_field(17, scheme) == (b"set-cookie", value + b"; Secure")


@pytest.mark.parametrize(
    "given",
    [
        "cache-control: private",
        "Cache-Control: no-store, max-age=0",
        "cache-control: Private, max-age=9",
    ],
)
def test_what_no_shared_cache_keeps_has_the_cookie(given: str) -> None:
    """M20: the app has said all that is needed."""
    assert fields(given) == [given, COOKIE]


@pytest.mark.parametrize(
    "given",
    [
        "cache-control: no-cache",
        "cache-control: max-age=0",
        "expires: 0",
        "etag: x",
        "vary: cookie",
    ],
)
def test_what_the_app_leaves_to_caches_is_private_then(given: str) -> None:
    """M20: a cache never hands one client's place to another."""
    assert fields(given) == [given, COOKIE, "cache-control: private"]


@pytest.mark.parametrize(
    "given",
    [
        "cache-control: public",
        "cache-control: max-age=60",
        "Cache-Control: s-maxage=60, max-age=0, public",
        "expires: Thu, 01 Dec 2033 16:00:00 GMT",
    ],
)
def test_what_caches_may_keep_for_all_has_no_cookie(given: str) -> None:
    """M20: such a response is left as it is, without Vary; the next other one has the cookie."""
    assert fields(given) == [given]


def test_clients_without_cookies_have_the_share_over_their_requests() -> None:
    """M20: a bot has a new place each time, so that 5 % of its requests are on the new app."""
    rng = Random(1)
    drawn = [Stickiness().place([], None, rng.randrange).on_new(5) for _ in range(10_000)]
    assert 420 < sum(drawn) < 580
