"""What is refused on the command line is refused in Python, in the same words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridge.arguments.checks import WSGI_DEFAULTS, WSGI_SETTINGS, Check, read_all
from bridge.arguments.values import VALUE_TYPES
from bridge.asgi_to_wsgi import AsgiToWsgi
from bridge.detect import as_asgi
from bridge.dispatcher import Dispatcher, Mount
from bridge.errors import ConfigError
from bridge.runners import InlineRunner
from bridge.server.config.config import Config
from bridge.wsgi_to_asgi import WsgiToAsgi


def wsgi(environ: Any, start_response: Any) -> Any: ...
async def asgi(scope: Any, receive: Any, send: Any) -> None: ...
def asgi2(scope: Any) -> Any: ...


def said(make: Callable[..., object], *given: Any, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        make(*given, **settings)
    return str(caught.value)


#: Every way to say in Python how a WSGI app runs.
WAYS: dict[str, Callable[..., object]] = {
    "WsgiToAsgi": lambda **settings: WsgiToAsgi(wsgi, **settings),
    "as_asgi of WSGI": lambda **settings: as_asgi(wsgi, **settings),
    "as_asgi of ASGI": lambda **settings: as_asgi(asgi, **settings),
    "Dispatcher": lambda **settings: Dispatcher({"/": wsgi}, **settings),
    "Dispatcher of ASGI": lambda **settings: Dispatcher({"/": asgi}, **settings),
    "Dispatcher with a fallback": lambda **settings: Dispatcher(fallback=[asgi], **settings),
    "Mount": lambda **settings: Mount(wsgi, settings=settings),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threads", 0),
        ("threads", -1),
        ("threads", "many"),
        ("threads", 2.5),
        ("threads", True),
        ("queue_limit", 0),
        ("queue_timeout", -1),
        ("runner", "fork"),
        ("runner", 5),
        ("websocket", "perhaps"),
    ],
)
def test_a_wrong_value_is_refused_in_the_same_words(way: str, name: str, value: object) -> None:
    """S61: what was seen and what is allowed, as the command line says it."""
    words = said(Config, **{name: value})
    assert words.startswith(f"{name} is {value!r}; allowed is ")
    assert said(WAYS[way], **{name: value}) == words


@pytest.mark.parametrize("way", WAYS)
def test_a_name_that_is_none_is_told(way: str) -> None:
    """S61: what was probably meant is named, or all that there is."""
    assert "; did you mean threads?" in said(WAYS[way], thread=4)
    assert "; did you mean threads?" in said(WAYS[way], workers=10)  # a2wsgi's name
    assert "it has runner, threads, queue_limit, " in said(WAYS[way], flavour=10)
    assert said(WAYS[way], flavour=10).startswith("flavour is no setting of ")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"runner": "greenlets"}, "; did you mean greenlet?"),
        ({"runner": "Threads"}, "; did you mean thread?"),
        ({"runner": "gthread"}, "; did you mean thread?"),
        ({"runner": "gevent"}, "; greenlet with --patch, or bridge.greenlet_patch(), waits as"),
        ({"request_timeout": 5}, "; did you mean timeout_request?"),
        ({"timeout_request": 1e30}, "timeout_request is 1e+30; the most is 1000000000 s, which is"),
        ({"timeout_request": 1e30}, "; 0: any"),
        ({"patch": True}, "it is of the process; call bridge.greenlet_patch() before other"),
        ({"max_blocking_time": 1}, "it is of the process; start the server with --max-blocking"),
    ],
)
def test_mistakes_that_are_likely_are_told_what_to_do(
    way: str, settings: dict[str, Any], words: str
) -> None:
    """S61: names of other programs, words in another order, settings of the whole process."""
    assert words in said(WAYS[way], **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_body_size": -1}, "max_body_size is -1; allowed is a number of bytes, at least 0"),
        ({"spool_body": "big"}, "spool_body is 'big'; allowed is a number of bytes, at least 0"),
        ({"propagate_context": 1}, "propagate_context is 1; allowed is true or false"),
        ({"idle_timeout": -1}, "idle_timeout is -1; allowed is a number of seconds, at least 0"),
    ],
)
def test_settings_of_the_adapter_alone(settings: dict[str, Any], words: str) -> None:
    """S61: they have no option, and the same kind of words."""
    assert said(WsgiToAsgi, wsgi, **settings).startswith(words)


def test_values_may_be_text_and_none_says_nothing() -> None:
    """S61: as everywhere, text is read as what it means; a runner may be one that was made."""
    assert WsgiToAsgi(wsgi, threads="3", websocket="on").runner.threads == 3  # type: ignore[arg-type]
    assert WsgiToAsgi(wsgi, max_body_size="1K").max_body_size == 1024  # type: ignore[arg-type]
    assert WsgiToAsgi(wsgi, threads=None, runner=None).runner.threads == 8
    runner = InlineRunner()
    assert WsgiToAsgi(wsgi, runner=runner).runner is runner


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Dispatcher([("/", wsgi)]), 'write Dispatcher({"/prefix": app})'),
        (lambda: Dispatcher(asgi), 'write Dispatcher({"/prefix": app})'),
        (lambda: Dispatcher(fallback=asgi), "fallback=[new, old]"),
        (lambda: Dispatcher(fallback="module:app"), "fallback=[new, old]"),
        (lambda: Dispatcher(fallback={asgi, wsgi}), "fallback=[new, old]"),
        (lambda: Dispatcher({}), 'pass {"/prefix": app}'),
        (lambda: Dispatcher({5: asgi}), "cannot mount at 5"),
        (lambda: Dispatcher({"/": asgi}, keep_prefix="x"), "keep_prefix is 'x'; allowed is true"),
        (lambda: Dispatcher({"/": None}), "None is no app: it is a NoneType"),
        (lambda: Mount(asgi, keep_prefix=1), "keep_prefix is 1; allowed is true or false"),
        (lambda: Mount(asgi, when="/api"), "when is '/api'; allowed is a function"),
        (lambda: Mount(asgi, settings=["threads"]), "settings is ['threads']; allowed is a dict"),
    ],
)
def test_a_dispatcher_says_what_it_takes(make: Callable[[], object], words: str) -> None:
    """S61: something else than places and apps is no riddle of Python's."""
    assert words in said(make)


# ------------------------------------------------------------- AsgiToWsgi


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lifespan": "of"}, "lifespan is 'of'; allowed is one of auto, on, off"),
        ({"response_timeout": -1}, "response_timeout is -1; allowed is a number of seconds, at "),
        ({"stream_timeout": "long"}, "stream_timeout is 'long'; allowed is a number of seconds"),
        ({"disconnect_grace": -5}, "disconnect_grace is -5; allowed is a number of seconds"),
    ],
)
def test_settings_of_asgi_to_wsgi(settings: dict[str, Any], words: str) -> None:
    """S61: the same words as for the server's `lifespan` and times."""
    assert said(AsgiToWsgi, asgi, **settings).startswith(words)
    if "lifespan" in settings:
        assert said(Config, **settings) == said(AsgiToWsgi, asgi, **settings)


def test_no_limit_is_none_or_0() -> None:
    """A41: times that are None or 0 never come."""
    for nothing in (None, 0):
        made = AsgiToWsgi(asgi, response_timeout=nothing, startup_timeout=nothing).settings
        assert (made.response_timeout, made.startup_timeout) == (float("inf"), None)


# ------------------------------------------------------------- the table itself


def test_the_server_and_the_adapters_have_the_same_defaults() -> None:
    """S61: each setting of how apps run has a default, which is that of the server."""
    assert WSGI_SETTINGS.keys() == WSGI_DEFAULTS.keys()
    config = Config()
    assert {name: getattr(config, name) for name in WSGI_SETTINGS} == WSGI_DEFAULTS


def test_none_is_left_out() -> None:
    """S61: what was not said is not there."""
    checks = {"size": Check(type=VALUE_TYPES["Size"])}
    assert read_all(checks, {"size": None}, "owner") == {}
    assert read_all(checks, {"size": "1K"}, "owner") == {"size": 1024}


# ------------------------------------------------------------- one check

NUMBER = Check(type=VALUE_TYPES["int"], minimum=1, maximum=9, zero_means="any")
ALLOWED: list[tuple[Check, str]] = [
    (NUMBER, "a whole number from 1 to 9 (0: any)"),
    (Check(type=VALUE_TYPES["int"], minimum=1), "a whole number, at least 1"),
    (Check(type=VALUE_TYPES["Size"]), "a number of bytes, such as 65536 or 64K"),
    (Check(type=VALUE_TYPES["str"], choices=("a", "b")), "one of a, b"),
    (
        Check(type=VALUE_TYPES["Mode"], minimum=0, maximum=0o777),
        "octal permission bits (digits 0 to 7) from 0 to 777, such as 660 (as a number, 0o660)",
    ),
]


@pytest.mark.parametrize(("check", "words"), ALLOWED)
def test_what_is_allowed(check: Check, words: str) -> None:
    """S61: the words of an error, made from the check alone."""
    assert check.allowed == words


@pytest.mark.parametrize("value", [0, 10, "0", "x", None])
def test_bounds(value: object) -> None:
    """S61: a value outside of them is shown as it was given, with where it came from."""
    with pytest.raises(ConfigError) as caught:
        NUMBER.read(value, "$BRIDGE_NUMBER")
    assert str(caught.value) == f"$BRIDGE_NUMBER is {value!r}; allowed is {NUMBER.allowed}"
    assert [NUMBER.read(each, "") for each in (1, "9")] == [1, 9]


def test_choices() -> None:
    """S61: a choice may be written in capitals."""
    check = Check(type=VALUE_TYPES["str"], choices=("thread", "inline"))
    assert check.read("THREAD", "runner") == "thread"
    with pytest.raises(ConfigError, match="runner is 'fork'; allowed is one of thread, inline"):
        check.read("fork", "runner")


def test_optional() -> None:
    """S61: what may be left out is None, and empty as text."""
    check = Check(type=VALUE_TYPES["int"], optional=True)
    assert (check.read(None, "it"), check.read("", "it"), check.read("5", "it")) == (None, None, 5)


def test_one_part_of_a_list() -> None:
    """S61: of several mounts the one that is wrong is shown."""
    with pytest.raises(ConfigError, match="mount is 'api'; allowed is PATH=APP, such as "):
        Check(type=VALUE_TYPES["Mounts"]).read("/=old:app, api", "mount")
