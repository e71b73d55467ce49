"""The PROXY protocol: both versions, cut anywhere, refused as soon as they cannot be right."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import RequestError
from bridge.server.proxy.proxy_protocol import V1_LIMIT, V2_LIMIT, Proxied, ProxyHeader, not_allowed

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"

ports = st.integers(0, 0xFFFF)


def parse(data: bytes) -> Proxied | None:
    return ProxyHeader().feed(data)


def binary(command: int, family: int, payload: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(payload)) + payload


@pytest.mark.parametrize(
    ("line", "client", "server"),
    [
        (b"TCP4 192.0.2.1 198.51.100.2 51234 443", ("192.0.2.1", 51234), ("198.51.100.2", 443)),
        (b"TCP6 2001:db8::1 2001:DB8::2 0 65535", ("2001:db8::1", 0), ("2001:db8::2", 65535)),
        (b"UNKNOWN", None, None),
        (b"UNKNOWN ffff::1 ffff::2 1 2", None, None),
        (b"UNKNOWN and whatever \xff else", None, None),
    ],
)
def test_version_1(line: bytes, client: object, server: object) -> None:
    """S30: a version 1 line names the client; what follows it is the client's."""
    proxied = parse(b"PROXY " + line + b"\r\nGET / HTTP/1.1\r\n")
    assert proxied == (client, server, b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("family", "payload", "client", "server"),
    [
        (
            0x11,
            bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack("!HH", 51234, 443),
            ("192.0.2.1", 51234),
            ("198.51.100.2", 443),
        ),
        (
            0x21,
            ipaddress.ip_address("2001:db8::1").packed
            + ipaddress.ip_address("2001:db8::2").packed
            + struct.pack("!HH", 1, 2),
            ("2001:db8::1", 1),
            ("2001:db8::2", 2),
        ),
        (
            0x31,
            b"".ljust(108, b"\0") + b"/run/haproxy.sock".ljust(108, b"\0"),
            None,
            ("/run/haproxy.sock", None),
        ),
        (0x00, b"", None, None),
        (0x00, b"anything", None, None),
    ],
)
@pytest.mark.parametrize("extras", [b"", b"\x01\x00\x02h2\x04\x00\x03\0\0\0"])
def test_version_2(
    family: int, payload: bytes, extras: bytes, client: object, server: object
) -> None:
    """S30: a version 2 header names the client for each family; TLVs are passed over."""
    proxied = parse(binary(0x21, family, payload + extras) + b"GET /")
    assert proxied == (client, server, b"GET /")


@pytest.mark.parametrize("family", [0x00, 0x11, 0x21, 0x31])
def test_a_local_connection_keeps_its_own_addresses(family: int) -> None:
    """S30: a proxy's health check (LOCAL) is nobody else's connection, whatever it carries."""
    assert parse(binary(0x20, family, b"\x01" * 12) + b"x") == (None, None, b"x")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"PROXy",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 51234\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 51234 443 \r\n",
        b"PROXY TCP4 192.0.2.1  198.51.100.2 51234 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 051234 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 +51234 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 1 99999\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
        b"PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
        b"PROXY UNKNOWNS\r\n",
        b"PROXY \r\n",
        b"PROXY UNKNOWN" + b"x" * 200,
        b"\r\n\r\n\x00\r\nQUIT\r",
        binary(0x11, 0x11, b"\0" * 12),
        binary(0x22, 0x11, b"\0" * 12),
        binary(0x21, 0x41, b"\0" * 12),
        binary(0x21, 0x13, b"\0" * 12),
        binary(0x21, 0x11, b"\0" * 11),
        binary(0x21, 0x21, b"\0" * 35),
        binary(0x21, 0x31, b"\0" * 215),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    """S30: where a PROXY header is expected, a connection without a right one is an error."""
    with pytest.raises(RequestError) as caught:
        parse(data)
    assert caught.value.status == 400


def test_a_wrong_first_byte_is_enough() -> None:
    """S30: no waiting for more once the bytes cannot become a header."""
    with pytest.raises(RequestError, match="switch the PROXY protocol off"):
        parse(b"G")


def test_the_longest_line() -> None:
    """S30: version 1 is at most 107 bytes with its CRLF; a longer line is refused, not kept."""
    line = b"PROXY UNKNOWN ".ljust(V1_LIMIT - 2, b"x")
    assert parse(line + b"\r\n") == (None, None, b"")
    with pytest.raises(RequestError, match="107 bytes"):
        parse(line + b"x\r\n")
    header = ProxyHeader()
    assert header.feed(line + b"\r") is None
    assert header.feed(b"\nrest") == (None, None, b"rest")


def test_the_longest_binary_header() -> None:
    """S30: version 2 is bounded by its own 16-bit length."""
    payload = bytes(12).ljust(0xFFFF, b"\0")
    data = binary(0x21, 0x11, payload)
    assert len(data) == V2_LIMIT
    assert parse(data[:-1]) is None
    assert parse(data + b"!") == (("0.0.0.0", 0), ("0.0.0.0", 0), b"!")


@given(
    client=st.tuples(st.ip_addresses(v=4), ports),
    server=st.tuples(st.ip_addresses(v=4), ports),
    rest=st.binary(max_size=40),
    data=st.data(),
)
def test_version_1_round_trip_in_pieces(
    client: tuple[ipaddress.IPv4Address, int],
    server: tuple[ipaddress.IPv4Address, int],
    rest: bytes,
    data: st.DataObject,
) -> None:
    """S30: however the line is cut, it says the same, and no byte behind it is lost."""
    line = f"PROXY TCP4 {client[0]} {server[0]} {client[1]} {server[1]}\r\n".encode()
    assert_same_in_pieces(
        line, rest, (str(client[0]), client[1]), (str(server[0]), server[1]), data
    )


@given(
    client=st.tuples(st.ip_addresses(v=6), ports),
    server=st.tuples(st.ip_addresses(v=6), ports),
    extras=st.binary(max_size=40),
    rest=st.binary(max_size=40),
    data=st.data(),
)
def test_version_2_round_trip_in_pieces(
    client: tuple[ipaddress.IPv6Address, int],
    server: tuple[ipaddress.IPv6Address, int],
    extras: bytes,
    rest: bytes,
    data: st.DataObject,
) -> None:
    """S30: however the header is cut, it says the same, and no byte behind it is lost."""
    packed = client[0].packed + server[0].packed + struct.pack("!HH", client[1], server[1])
    head = binary(0x21, 0x21, packed + extras)
    assert_same_in_pieces(
        head, rest, (str(client[0]), client[1]), (str(server[0]), server[1]), data
    )


def assert_same_in_pieces(
    head: bytes, rest: bytes, client: object, server: object, data: st.DataObject
) -> None:
    whole = head + rest
    assert parse(whole) == (client, server, rest)
    by_bytes = ProxyHeader()
    for at in range(len(head) - 1):
        assert by_bytes.feed(head[at : at + 1]) is None
    assert by_bytes.feed(head[-1:]) == (client, server, b"")
    careful, taken, said = ProxyHeader(), 0, None
    while said is None:
        missing = careful.missing
        assert missing > 0
        said = careful.feed(whole[taken : taken + missing])
        taken += missing
    assert said == (client, server, b"")
    assert taken == len(head)
    cut = data.draw(st.integers(0, len(head) - 1))
    in_two = ProxyHeader()
    assert in_two.feed(whole[:cut]) is None
    assert in_two.feed(whole[cut:]) == (client, server, rest)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    """S30: whatever a client sends, the outcome is a result, a wait for more, or a 400."""
    for start in (b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"):
        try:
            status = 200 if parse(start + data) else 100
        except RequestError as error:
            status = error.status
        assert status in (100, 200, 400)


def test_a_peer_that_is_not_named() -> None:
    """S30: the error says which setting names the proxies."""
    assert "--proxy-protocol-allow-ips" in str(not_allowed())
