"""The options of `asgi-bridge check` (M51)."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import ConfigError
from bridge.server.commands.checking.options import read_options
from bridge.server.config.config import Config

GIVEN: dict[str, Any] = {
    "paths": (),
    "unsafe": (),
    "header": (),
    "time_limit": "5",
    "ignore": (),
    "verbose": False,
}


def read(**given: Any) -> Any:
    return read_options({**GIVEN, **given}, Config(app="shop:app", threads=3))


def test_what_they_mean() -> None:
    """M51: / is always asked; fields have names in lower case."""
    options = read(paths=("/a", "/a", "/"), header=("Host: shop.example",), time_limit="250ms")
    assert options.paths == ("/", "/a")
    assert options.fields == (("host", "shop.example"),)
    assert (options.seconds, options.threads) == (0.25, 3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"paths": ("shop",)}, "--path is 'shop'"),
        ({"unsafe": ("/a b",)}, "--unsafe is '/a b'"),
        ({"header": ("Host",)}, "--header is 'Host'; allowed is NAME: VALUE"),
        ({"time_limit": "0"}, "--time-limit is"),
        ({"time_limit": "soon"}, "--time-limit is 'soon'"),
        ({"ignore": ("writes",)}, "--ignore is 'writes'; allowed is one of write,"),
    ],
)
def test_what_is_wrong_is_told(given: dict[str, Any], said: str) -> None:
    """M51: with what was seen, and what is allowed."""
    with pytest.raises(ConfigError) as raised:
        read(**given)
    assert said in str(raised.value)
