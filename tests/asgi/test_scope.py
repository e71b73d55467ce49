"""An ASGI scope from a WSGI environ."""

from __future__ import annotations

import io
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.asgi.scope import (
    body_length,
    environ_bytes,
    is_websocket_handshake,
    scope_from_environ,
    websocket_scope_from_environ,
)
from bridge.errors import RequestError
from tests.support.remembered import is_remembered


def environ(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "4711",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        **{key.replace("wsgi_", "wsgi."): value for key, value in changes.items()},
    }
    return {key: value for key, value in made.items() if value is not None}


def dressed(raw: bytes) -> str:
    return raw.decode("latin-1")


class TestScope:
    def test_all_keys(self) -> None:
        """A1: every key of the specification is there, with the type it has there."""
        scope = scope_from_environ(environ(HTTP_HOST="example.org"), {"db": 1})
        assert scope.pop("extensions").keys() == {"wsgi.environ"}
        assert scope == {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"example.org")],
            "client": ("192.0.2.7", 4711),
            "server": ("example.org", 8000),
            "state": {"db": 1},
        }

    def test_state_is_a_copy_of_its_own(self) -> None:
        """A1: each request has its own shallow copy of the lifespan's state; none without one."""
        state = {"seen": []}
        first, second = (scope_from_environ(environ(), state)["state"] for _ in range(2))
        first["mine"] = 1
        first["seen"].append("x")
        assert second == {"seen": ["x"]}
        assert "state" not in scope_from_environ(environ())

    def test_nothing_is_shared_between_scopes(self) -> None:
        """A1: an app that writes into its scope does not change that of the next request."""
        scope_from_environ(environ())["asgi"]["version"] = "tampered"
        assert scope_from_environ(environ())["asgi"]["version"] == "3.0"

    def test_environ_is_in_the_extensions(self) -> None:
        """A3: the environ of the request itself is in scope["extensions"]["wsgi.environ"]."""
        of_request = environ()
        assert scope_from_environ(of_request)["extensions"]["wsgi.environ"] is of_request

    @pytest.mark.parametrize(
        ("protocol", "version"),
        [
            ("HTTP/1.0", "1.0"),
            ("HTTP/1.1", "1.1"),
            ("HTTP/2", "2"),
            ("HTTP/2.0", "2"),
            ("INCLUDED", "1.1"),
            (None, "1.1"),
        ],
    )
    def test_http_version(self, protocol: str | None, version: str) -> None:
        """A1: http_version is one of the specification's; what CGI may say instead is 1.1."""
        assert scope_from_environ(environ(SERVER_PROTOCOL=protocol))["http_version"] == version

    def test_method_is_upper_case(self) -> None:
        """A1: the method is in upper case."""
        assert scope_from_environ(environ(REQUEST_METHOD="pOst"))["method"] == "POST"

    def test_extensions_are_what_the_host_can(self) -> None:
        """A24: early hints and pathsend are offered where the host has what they need, else not."""
        able = environ(**{"wsgi.early_hints": print, "wsgi.file_wrapper": print})
        assert scope_from_environ(able)["extensions"].keys() == {
            "wsgi.environ",
            "http.response.early_hint",
            "http.response.pathsend",
        }


class TestPaths:
    @pytest.mark.parametrize(
        ("script_name", "path_info", "path", "root_path", "raw_path"),
        [
            ("", "/", "/", "", b"/"),
            ("", "", "/", "", b"/"),
            ("/", "/x", "/x", "", b"/x"),
            ("/app", "", "/app", "/app", b"/app"),
            ("/app", "/x y", "/app/x y", "/app", b"/app/x%20y"),
            ("/app/", "/x", "/app/x", "/app", b"/app/x"),
            ("", "/a;b=c,d/~e:@!$&'()*+", "/a;b=c,d/~e:@!$&'()*+", "", b"/a;b=c,d/~e:@!$&'()*+"),
            (dressed("/ü".encode()), dressed("/ö".encode()), "/ü/ö", "/ü", b"/%C3%BC/%C3%B6"),
            ("", "/%", "/%", "", b"/%25"),
        ],
    )
    def test_path_and_root_path(
        self, script_name: str, path_info: str, path: str, root_path: str, raw_path: bytes
    ) -> None:
        """A1: path holds the mount point and is UTF-8; raw_path is rebuilt where none is told."""
        scope = scope_from_environ(environ(SCRIPT_NAME=script_name, PATH_INFO=path_info))
        assert (scope["path"], scope["root_path"], scope["raw_path"]) == (path, root_path, raw_path)

    @pytest.mark.parametrize("key", ["RAW_URI", "REQUEST_URI"])
    @pytest.mark.parametrize(
        ("target", "raw_path"),
        [
            ("/a%2Fb?c=d?e", b"/a%2Fb"),
            ("http://example.org/a%2Fb?c", b"/a%2Fb"),
            ("http://example.org", b"/"),
            ("*", b"*"),
            (dressed("/ü".encode()), "/ü".encode()),
        ],
    )
    def test_raw_path_is_the_target_as_sent(self, key: str, target: str, raw_path: bytes) -> None:
        """A1: raw_path comes from RAW_URI or REQUEST_URI, %2F kept, without the query."""
        scope = scope_from_environ(environ(PATH_INFO="/a/b", **{key: target}))
        assert scope["raw_path"] == raw_path

    def test_path_that_is_not_utf8(self) -> None:
        """A2: bytes that are not UTF-8 are replaced in path and kept in raw_path."""
        scope = scope_from_environ(environ(PATH_INFO="/\xff\xfe.txt"))
        assert scope["path"] == "/��.txt"
        assert scope["raw_path"] == b"/%FF%FE.txt"

    @given(st.binary())
    def test_any_bytes_pass(self, raw: bytes) -> None:
        """A1 A2: any path survives in raw_path, and path is its UTF-8 reading."""
        scope = scope_from_environ(environ(PATH_INFO="/" + dressed(raw)))
        assert unquote_to_bytes(scope["raw_path"]) == b"/" + raw
        assert scope["path"] == "/" + raw.decode("utf-8", "replace")

    @given(st.binary())
    def test_query_string_is_bytes(self, raw: bytes) -> None:
        """A1 A2: the query string is the bytes as sent, whatever they are."""
        assert scope_from_environ(environ(QUERY_STRING=dressed(raw)))["query_string"] == raw


class TestWireBytes:
    @pytest.mark.parametrize(
        ("text", "raw"),
        [
            ("ü", b"\xfc"),
            ("日本", "日本".encode()),
            ("\udcff日", b"\xff" + "日".encode()),
            ("\ud800", b"?"),
        ],
    )
    def test_hosts_that_decoded_otherwise(self, text: str, raw: bytes) -> None:
        """A2: text that is not latin-1 is what a host decoded as UTF-8; nothing raises."""
        assert environ_bytes(text) == raw

    @given(st.text())
    def test_never_raises(self, text: str) -> None:
        """A2: whatever a host puts in, there are bytes for it."""
        assert isinstance(environ_bytes(text), bytes)


class TestHeaders:
    def test_lower_case_in_order(self) -> None:
        """A1: names in lower case with dashes, in the host's order, values as bytes."""
        headers = scope_from_environ(
            environ(
                HTTP_X_B="1",
                CONTENT_TYPE="text/plain",
                HTTP_X_A="\xfc",
                CONTENT_LENGTH="3",
                HTTP_COOKIE="a=1; b=2",
                HTTP_X_EMPTY="",
            )
        )["headers"]
        assert headers == [
            (b"x-b", b"1"),
            (b"content-type", b"text/plain"),
            (b"x-a", b"\xfc"),
            (b"content-length", b"3"),
            (b"cookie", b"a=1; b=2"),
            (b"x-empty", b""),
        ]

    def test_what_the_host_left_empty_or_said_twice(self) -> None:
        """A2: empty CONTENT_* mean that none was sent; HTTP_CONTENT_* only repeat them."""
        headers = scope_from_environ(
            environ(
                CONTENT_TYPE="",
                CONTENT_LENGTH="",
                HTTP_CONTENT_TYPE="text/html",
                HTTP_CONTENT_LENGTH="7",
            )
        )["headers"]
        assert headers == []

    def test_value_that_is_not_latin1(self) -> None:
        """A2: a value that the host decoded as UTF-8 is understood."""
        assert scope_from_environ(environ(HTTP_X="日"))["headers"] == [(b"x", "日".encode())]


class TestWhatComesAgain:
    def test_same_target_other_client(self) -> None:
        """A1: what differs between two requests for one target is each request's own."""
        for number in range(3):
            made = environ(REMOTE_PORT=str(number), HTTP_X=str(number), wsgi_file_wrapper=list)
            of_request = scope_from_environ(made)
            assert of_request["client"] == ("192.0.2.7", number)
            assert of_request["headers"] == [(b"x", b"%d" % number)]
            assert of_request["extensions"]["wsgi.environ"] is made

    def test_nothing_that_an_app_changes_comes_back(self) -> None:
        """A1: an app may empty its scope, the headers and the extensions; the next is whole."""
        made = environ(HTTP_X="1", wsgi_file_wrapper=list)
        wanted = scope_from_environ(dict(made))
        del wanted["extensions"]["wsgi.environ"]
        for _ in range(3):
            of_request = scope_from_environ(made)
            del of_request["extensions"]["wsgi.environ"]
            assert of_request == wanted
            for part in ("asgi", "headers", "extensions"):
                of_request[part].clear()
            of_request.clear()

    @pytest.mark.parametrize(
        "change",
        [
            {"REQUEST_METHOD": "POST"},
            {"SCRIPT_NAME": "/m"},
            {"PATH_INFO": "/other"},
            {"QUERY_STRING": "a=1"},
            {"SERVER_NAME": "other.example"},
            {"SERVER_PORT": "81"},
            {"SERVER_PROTOCOL": "HTTP/1.0"},
            {"wsgi_url_scheme": "https"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_each_value_counts(self, change: dict[str, str]) -> None:
        """A1: requests that differ in one value do not get each other's scope."""
        plain, other = scope_from_environ(environ()), scope_from_environ(environ(**change))
        del plain["extensions"], other["extensions"]
        assert plain != other

    def test_keys_in_another_order(self) -> None:
        """A1: the same keys in another order are told apart, for headers are in order."""
        one, two = environ(HTTP_A="1", HTTP_B="2"), environ(HTTP_B="2", HTTP_A="1")
        assert [scope_from_environ(each)["headers"] for each in (one, two, one)] == [
            [(b"a", b"1"), (b"b", b"2")],
            [(b"b", b"2"), (b"a", b"1")],
            [(b"a", b"1"), (b"b", b"2")],
        ]

    def test_method_alone(self) -> None:
        """A2: an environ with hardly anything in it is understood."""
        of_request = scope_from_environ({"REQUEST_METHOD": "GET"})
        assert (of_request["path"], of_request["server"]) == ("/", None)

    def test_long_ones_are_not_kept(self) -> None:
        """A1: short targets and sets of fields are remembered, long ones are not."""
        scope_from_environ(environ(PATH_INFO="/remembered", HTTP_X_REMEMBERED="1"))
        assert is_remembered("/remembered")
        assert is_remembered("HTTP_X_REMEMBERED")
        scope_from_environ(
            environ(PATH_INFO="/too-long/" + "x" * 256, **{"HTTP_TOO_LONG" + "X" * 4096: "1"})
        )
        assert not is_remembered("/too-long/")
        assert not is_remembered("HTTP_TOO_LONG")


class TestAddresses:
    @pytest.mark.parametrize(
        ("address", "port", "client"),
        [
            ("192.0.2.7", "80", ("192.0.2.7", 80)),
            ("2001:db8::1", "80", ("2001:db8::1", 80)),
            ("192.0.2.7", None, ("192.0.2.7", 0)),
            ("192.0.2.7", "", ("192.0.2.7", 0)),
            ("192.0.2.7", "x", ("192.0.2.7", 0)),
            ("192.0.2.7", 80, ("192.0.2.7", 80)),
            ("", "80", None),
            (None, None, None),
        ],
    )
    def test_client(self, address: str | None, port: Any, client: object) -> None:
        """A1: client also without REMOTE_PORT; None where the host tells no address."""
        scope = scope_from_environ(environ(REMOTE_ADDR=address, REMOTE_PORT=port))
        assert scope["client"] == client

    @pytest.mark.parametrize(
        ("name", "port", "scheme", "server"),
        [
            ("example.org", "8000", "http", ("example.org", 8000)),
            ("example.org", 8000, "http", ("example.org", 8000)),
            ("example.org", "", "http", ("example.org", 80)),
            ("example.org", "", "https", ("example.org", 443)),
            ("example.org", "None", "gopher", ("example.org", 80)),
            ("/run/app.sock", "", "http", ("/run/app.sock", None)),
            ("unix:/run/app.sock", "", "http", ("/run/app.sock", None)),
            ("", "", "http", None),
        ],
    )
    def test_server(self, name: str, port: Any, scheme: str, server: object) -> None:
        """A1: server also with SERVER_PORT=''; a Unix socket has port None."""
        scope = scope_from_environ(
            environ(SERVER_NAME=name, SERVER_PORT=port, wsgi_url_scheme=scheme)
        )
        assert scope["server"] == server
        assert scope["scheme"] == scheme


class TestBodyLength:
    @pytest.mark.parametrize(
        ("text", "terminated", "length"),
        [
            ("5", False, 5),
            ("5", True, 5),
            ("0", True, 0),
            ("", False, 0),
            ("", True, None),
            (None, None, 0),
            ("5, 5", False, 5),
        ],
    )
    def test_where_the_body_ends(
        self, text: str | None, terminated: bool | None, length: int | None
    ) -> None:
        """A10: CONTENT_LENGTH counts; without it the input is read only where it ends by itself."""
        made = environ(CONTENT_LENGTH=text, wsgi_input_terminated=terminated)
        assert body_length(made) == length

    @pytest.mark.parametrize("text", ["x", "-1", "1.0", "5, 6", "0x10", "\xb2", "日"])
    def test_malformed(self, text: str) -> None:
        """A2: a malformed CONTENT_LENGTH is the client's error, a 400 that shows it."""
        with pytest.raises(RequestError, match="Content-Length") as caught:
            body_length(environ(CONTENT_LENGTH=text))
        assert caught.value.status == 400


class TestWebSocket:
    HANDSHAKE: Final = {"HTTP_UPGRADE": "WebSocket", "HTTP_CONNECTION": "keep-alive, Upgrade"}

    def test_is_told_by_its_handshake(self) -> None:
        """A40: a GET that asks for an upgrade to websocket, and nothing else."""
        assert is_websocket_handshake(environ(**self.HANDSHAKE))
        for listed in ("websocket,websocket", "h2c, WebSocket", " , websocket ,"):
            assert is_websocket_handshake(environ(**{**self.HANDSHAKE, "HTTP_UPGRADE": listed}))
        assert not is_websocket_handshake(
            environ(**{**self.HANDSHAKE, "HTTP_UPGRADE": "websockets"})
        )
        assert not is_websocket_handshake(
            environ(**{**self.HANDSHAKE, "HTTP_CONNECTION": "no-upgrade, close"})
        )
        assert not is_websocket_handshake(environ())
        assert not is_websocket_handshake(environ(HTTP_UPGRADE="websocket"))
        assert not is_websocket_handshake(environ(**self.HANDSHAKE, REQUEST_METHOD="POST"))
        assert not is_websocket_handshake(environ(**{**self.HANDSHAKE, "HTTP_UPGRADE": "h2c"}))

    def test_scope(self) -> None:
        """A1 A40: a websocket scope has no method, the ws scheme, and the offered subprotocols."""
        scope = websocket_scope_from_environ(
            environ(
                **self.HANDSHAKE,
                HTTP_SEC_WEBSOCKET_PROTOCOL="chat, ,superchat",
                wsgi_url_scheme="https",
            ),
            {"db": 1},
        )
        assert scope["type"] == "websocket"
        assert "method" not in scope
        assert scope["scheme"] == "wss"
        assert scope["subprotocols"] == ["chat", "superchat"]
        assert scope["state"] == {"db": 1}
        assert scope["extensions"].keys() == {"wsgi.environ", "websocket.http.response"}
