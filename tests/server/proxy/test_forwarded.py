"""What proxies say: believed from whom, read from where, refused when it contradicts itself."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import RequestError
from bridge.server.proxy.forwarded import FORWARDING_HEADERS, Address, Forwarded, Resolved

PEER = ("127.0.0.1", 40000)
SERVER = ("10.1.1.1", 8000)


def resolve(
    *headers: tuple[str, str], trusted: str = "127.0.0.1,10.0.0.0/8", scheme: str = "http"
) -> Resolved:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return Forwarded(trusted).resolve(raw, PEER, scheme, SERVER)


def client(*headers: tuple[str, str], trusted: str = "127.0.0.1,10.0.0.0/8") -> Address | None:
    return resolve(*headers, trusted=trusted).client


# ------------------------------------------------------------- the client


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("203.0.113.9", ("203.0.113.9", 0)),
        ("203.0.113.9:5555", ("203.0.113.9", 5555)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("[2001:DB8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:5555", ("2001:db8::1", 5555)),
        ("::ffff:203.0.113.9", ("203.0.113.9", 0)),
        ("198.51.100.1, 203.0.113.9", ("203.0.113.9", 0)),
        ("198.51.100.1, 203.0.113.9, 10.0.0.1", ("203.0.113.9", 0)),
        ("198.51.100.1,203.0.113.9 ,\t10.0.0.1,, 10.0.0.2:99", ("203.0.113.9", 0)),
        ("10.0.0.3, 10.0.0.1", ("10.0.0.3", 0)),
        ("unknown", None),
        ("_hidden", None),
        ("203.0.113.9, unknown, 10.0.0.1", None),
        ("203.0.113.9:99999", None),
        ("<script>", None),
        ("[::1", None),
        ("127.0.0.1\x00", None),
        ("²0.0.0.1", None),
        ("", PEER),
        (" , ", PEER),
    ],
)
def test_x_forwarded_for(value: str, expected: Address | None) -> None:
    """S32: the right-most untrusted hop is the client; what is no address is nobody."""
    assert client(("X-Forwarded-For", value)) == expected


def test_x_forwarded_for_in_several_lines() -> None:
    """S32: lines of one field are one list, in order."""
    lines = [("X-Forwarded-For", "198.51.100.1, 203.0.113.9"), ("X-Forwarded-For", "10.0.0.1")]
    assert client(*lines) == ("203.0.113.9", 0)


def test_everyone_trusted() -> None:
    """S32: with `*` every hop is trusted, so the left-most one is the client."""
    assert client(("X-Forwarded-For", "198.51.100.1, 203.0.113.9"), trusted="*") == (
        "198.51.100.1",
        0,
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=203.0.113.9", ("203.0.113.9", 0)),
        ('For="203.0.113.9:47"', ("203.0.113.9", 47)),
        ('for="[2001:db8::1]:47";by=10.0.0.1', ("2001:db8::1", 47)),
        ("for=198.51.100.1, for=203.0.113.9;proto=http, for=10.0.0.1", ("203.0.113.9", 0)),
        (r'for="203.\0.113.9"', ("203.0.113.9", 0)),
        ('for=198.51.100.1;ext="a, for=1.2.3.4;", for=203.0.113.9', ("203.0.113.9", 0)),
        ("for=unknown", None),
        ("for=_SEVKISEK", None),
        ("proto=http", None),
        ("", PEER),
        (" , ;, ", PEER),
    ],
)
def test_forwarded(value: str, expected: Address | None) -> None:
    """S32: `Forwarded` is read by the grammar of RFC 7239, quoted strings included."""
    assert client(("Forwarded", value)) == expected


@pytest.mark.parametrize(
    "value",
    [
        'for="203.0.113.9',
        'for="a\\',
        "for=[2001:db8::1]",
        "for=203.0.113.9;for=198.51.100.1",
        "for=203.0.113.9;FOR=198.51.100.1",
        "for = 203.0.113.9",
        "for",
        "=203.0.113.9",
        "for=a b",
        'for="a"b',
        'for="a\x01"',
        "for=1.2.3.4:80",
        " " * 60000 + "(",
        '"' * 8001,
        "a=" * 30000,
        'a="' + "\\a" * 4000,
    ],
)
def test_malformed_forwarded(value: str) -> None:
    """S32: what RFC 7239 does not allow is a 400."""
    with pytest.raises(RequestError, match="RFC 7239") as caught:
        resolve(("Forwarded", value))
    assert caught.value.status == 400
    assert len(str(caught.value)) < 400


def test_an_open_quote_cannot_hide_what_a_proxy_adds() -> None:
    """S32: a client's unclosed quote does not swallow the entry that its proxy appends."""
    with pytest.raises(RequestError):
        resolve(("Forwarded", 'for="1.2.3.4, for=203.0.113.9'))
    with pytest.raises(RequestError):
        resolve(("Forwarded", 'for="1.2.3.4'), ("Forwarded", 'for=203.0.113.9;a=""'))


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded"])
@pytest.mark.parametrize("trusted", ["10.0.0.0/8", "*"])
def test_a_long_list(name: str, trusted: str) -> None:
    """S32: of a list that fills a whole header section the right-most 50 hops are read."""
    key = "for=" if name == "Forwarded" else ""
    for count, expected in ((49, "203.0.113.9"), (50, "10.0.0.1"), (6500, "10.0.0.1")):
        hops = [f"{key}203.0.113.9"] + [f"{key}10.0.0.1"] * count
        assert client((name, ", ".join(hops)), trusted=trusted) == (expected, 0)
        assert client(*[(name, hop) for hop in hops], trusted=trusted) == (expected, 0)


def test_a_long_list_with_quotes() -> None:
    """S32: commas in quotes do not count as hops, however many there are."""
    long = ", ".join(['for=198.51.100.1;a=",,\\","'] * 60 + ["for=203.0.113.9", 'for="10.0.0.1"'])
    assert client(("Forwarded", long)) == ("203.0.113.9", 0)


@pytest.mark.parametrize("value", [";" * 60000, ";".join(f"a{n}=b" for n in range(6000))])
def test_too_many_parameters(value: str) -> None:
    """S32: a `Forwarded` that takes long to read is a 400."""
    with pytest.raises(RequestError, match="500 parameters"):
        resolve(("Forwarded", value))


@pytest.mark.parametrize(
    "lines",
    [['for="' + r"\a" * 4100 + '"'], ['for="x", ' * 1000], ['for="x"' + " " * 200] * 45],
    ids=["escapes", "members", "lines"],
)
def test_too_much_in_quotes(lines: list[str]) -> None:
    """S32: so is one with quotes that would have to be read from its far left end."""
    with pytest.raises(RequestError, match="with quotes, 8192 are read"):
        resolve(*[("Forwarded", line) for line in lines])


FAMILY = [
    ("Forwarded", "for=198.51.100.1;proto=https"),
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Port", "444"),
]
THEIRS = Resolved(("203.0.113.9", 0), "http", (SERVER[0], 444))
STANDARD = Resolved(("198.51.100.1", 0), "https", SERVER)


@pytest.mark.parametrize(
    ("family", "headers", "expected"),
    [
        ("auto", FAMILY, THEIRS),
        ("auto", FAMILY[:1], STANDARD),
        ("auto", FAMILY[1:], THEIRS),
        ("x-forwarded", FAMILY, THEIRS),
        ("x-forwarded", FAMILY[:1], Resolved(PEER, "http", SERVER)),
        ("forwarded", FAMILY, STANDARD),
        ("forwarded", FAMILY[1:], Resolved(PEER, "http", SERVER)),
        ("auto", [("Forwarded", 'proto="'), *FAMILY[1:]], THEIRS),
        ("forwarded", [*FAMILY[:1], ("X-Forwarded-Proto", "gopher")], STANDARD),
    ],
)
def test_one_family_is_read(
    family: str, headers: list[tuple[str, str]], expected: Resolved
) -> None:
    """S32: a client's own `Forwarded` says nothing where the proxy writes the others, and back."""
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    for order in (raw, raw[::-1]):
        assert Forwarded("10.0.0.0/8", family).resolve(order, PEER, "http", SERVER) == expected


# ------------------------------------------------------------- the scheme


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ([], "http"),
        ([("X-Forwarded-Proto", "https")], "https"),
        ([("X-Forwarded-Proto", "HTTPS")], "https"),
        ([("X-Forwarded-Proto", "wss")], "https"),
        ([("X-Forwarded-Proto", "ws")], "http"),
        ([("X-Forwarded-Proto", "")], "http"),
        ([("X-Forwarded-Proto", "https, https")], "https"),
        ([("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "on")], "https"),
        ([("X-Forwarded-Ssl", "on")], "https"),
        ([("X-Forwarded-Ssl", "off")], "http"),
        ([("Forwarded", "for=203.0.113.9;proto=https")], "https"),
        ([("Forwarded", "for=203.0.113.9;proto=https, for=10.0.0.1;proto=http")], "https"),
        ([("Forwarded", "for=203.0.113.9, for=10.0.0.1;proto=https")], "https"),
        ([("Forwarded", "for=1.1.1.1;proto=https, for=203.0.113.9")], "http"),
        ([("Forwarded", "proto=https")], "https"),
        ([("Forwarded", "proto=https"), ("X-Forwarded-Proto", "https")], "https"),
        (
            [("X-Forwarded-For", "203.0.113.9, 10.0.0.1"), ("X-Forwarded-Proto", "https, http")],
            "https",
        ),
        (
            [
                ("X-Forwarded-For", "1.1.1.1, 203.0.113.9, 10.0.0.1"),
                ("X-Forwarded-Proto", "http, https, http"),
            ],
            "https",
        ),
    ],
)
def test_scheme(headers: list[tuple[str, str]], scheme: str) -> None:
    """S32: the scheme is what the outermost trusted proxy was asked with."""
    assert resolve(*headers).scheme == scheme


def test_a_proxy_before_tls() -> None:
    """S32: a proxy that talks TLS to us may have been asked without."""
    assert resolve(("X-Forwarded-Proto", "http"), scheme="https").scheme == "http"
    assert resolve(("X-Forwarded-For", "203.0.113.9"), scheme="https").scheme == "https"


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Forwarded-Proto", "https, http")],
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")],
        [("X-Forwarded-Proto", "http"), ("X-Forwarded-Ssl", "on")],
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "off")],
        [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "http, https")],
        [("X-Forwarded-For", "a, b, c"), ("X-Forwarded-Proto", "http, https")],
    ],
)
def test_conflicting_schemes(headers: list[tuple[str, str]]) -> None:
    """S32: fields that name different schemes for one request are a 400."""
    with pytest.raises(RequestError, match="both http and https") as caught:
        resolve(*headers)
    assert caught.value.status == 400


@pytest.mark.parametrize("value", ["ftp", "https://", "on", "http\x00"])
def test_unknown_scheme(value: str) -> None:
    """S32: a scheme that is none of ours is a 400, and its text does not get far."""
    with pytest.raises(RequestError, match="not http or https"):
        resolve(("X-Forwarded-Proto", value))
    if value.isprintable():
        with pytest.raises(RequestError, match="not http or https"):
            resolve(("Forwarded", f'proto="{value}"'))


# ------------------------------------------------------------- the server


@pytest.mark.parametrize(
    ("headers", "port"),
    [
        ([], 8000),
        ([("X-Forwarded-Port", "443")], 443),
        ([("X-Forwarded-Port", "8443, 80")], 80),
        (
            [("X-Forwarded-For", "203.0.113.9, 10.0.0.1"), ("X-Forwarded-Port", "8443, 80")],
            8443,
        ),
    ],
)
def test_port(headers: list[tuple[str, str]], port: int) -> None:
    """S32: the port of the proxy that the client talks to becomes the server's."""
    assert resolve(*headers).server == ("10.1.1.1", port)


@pytest.mark.parametrize("value", ["http", "-1", "65536", "4 4", "٤٤"])
def test_wrong_port(value: str) -> None:
    """S32: a port that is no port is a 400."""
    with pytest.raises(RequestError, match="X-Forwarded-Port"):
        Forwarded("*").resolve([(b"x-forwarded-port", value.encode())], PEER, "http", SERVER)


def test_a_unix_socket_has_no_port() -> None:
    """S32: a server at a path stays at its path."""
    headers = [(b"x-forwarded-port", b"443"), (b"x-forwarded-for", b"203.0.113.9")]
    resolved = Forwarded("unix").resolve(headers, None, "http", ("/run/app.sock", None))
    assert resolved == (("203.0.113.9", 0), "http", ("/run/app.sock", None))
    assert Forwarded("unix").resolve(headers, None, "http").server is None


def test_the_host_is_not_taken_from_a_proxy() -> None:
    """S32: the host of an app's links is what the client asked for, never X-Forwarded-Host."""
    assert b"x-forwarded-host" not in FORWARDING_HEADERS
    assert resolve(("X-Forwarded-Host", "evil.example")) == (PEER, "http", SERVER)


# ------------------------------------------------------------- properties

TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
tokens = st.text(TOKEN, min_size=1, max_size=8)
values = st.text([chr(n) for n in (9, *range(32, 127), *range(128, 256))], max_size=20)


def quoted(value: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


@given(
    st.lists(
        st.dictionaries(tokens.filter(lambda n: n not in ("for", "proto")), values), max_size=4
    )
)
def test_any_quoted_value_is_skipped(elements: list[dict[str, str]]) -> None:
    """S32: whatever extensions carry in quotes, the proxy's own entry is found behind them."""
    parts = [";".join(f"{n}={quoted(v)}" for n, v in element.items()) for element in elements]
    assert client(("Forwarded", ", ".join([*parts, "for=203.0.113.9"]))) == ("203.0.113.9", 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(FORWARDING_HEADERS)),
            st.binary(max_size=60)
            | st.text('for=prot:;,."\\[]127 https', max_size=40).map(str.encode),
        ),
        max_size=4,
    )
)
def test_any_bytes(headers: list[tuple[bytes, bytes]]) -> None:
    """S32: whatever a trusted proxy passes on, the outcome is a client or a 400."""
    try:
        scheme = Forwarded("127.0.0.1").resolve(headers, PEER, "http", SERVER).scheme
    except RequestError as error:
        scheme = str(error.status)
    assert scheme in ("http", "https", "400")
