"""The options of `asgi-bridge check` that are no settings of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from bridge.arguments.checks import Check
from bridge.arguments.values import VALUE_TYPES
from bridge.errors import ConfigError
from bridge.server.config.config import Config

if TYPE_CHECKING:  # other commands load none of it
    from bridge.check.requests import Fields, Options

_SECONDS: Final = Check(type=VALUE_TYPES["Seconds"], minimum=0.1)

OPTIONS: Final = (
    click.Option(
        ["paths", "--path"],
        metavar="PATH",
        multiple=True,
        help="Send GET, HEAD and OPTIONS to this path, too. Repeatable.",
    ),
    click.Option(
        ["unsafe", "--unsafe"],
        metavar="PATH",
        multiple=True,
        help="Send POSTs to this path: forms, JSON, chunks, 1 MiB. It may change data. Repeatable.",
    ),
    click.Option(
        ["header", "-H", "--header"],
        metavar="NAME: VALUE",
        multiple=True,
        help="Send this field with each request, as a Cookie or a Host. Repeatable.",
    ),
    click.Option(
        ["time_limit", "--time-limit"],
        metavar="SECONDS",
        default="5",
        help="The longest to wait for one request; six times that for the import.  [5]",
    ),
    click.Option(
        ["ignore", "--ignore"],
        metavar="ID",
        multiple=True,
        help="Leave out the findings of this id. Repeatable.",
    ),
    click.Option(
        ["fail_on", "--fail-on"],
        type=click.Choice(("note", "warning", "error")),
        default="error",
        help="Exit with 1 from this severity on.  [error]",
    ),
    click.Option(["as_json", "--json"], is_flag=True, help="Print JSON."),
    click.Option(["verbose", "--verbose"], is_flag=True, help="Show what the app logs, too."),
)
#: Their names.
NAMES: Final = tuple(str(each.name) for each in OPTIONS)


def read_options(given: dict[str, Any], config: Config) -> Options:
    """Return what these options say. Raises `ConfigError`."""
    from bridge.check.catalogue import CATALOGUE
    from bridge.check.requests import Options

    for id in given["ignore"]:
        if id not in CATALOGUE:
            raise ConfigError(f"--ignore is {id!r}; allowed is one of {', '.join(CATALOGUE)}")
    return Options(
        paths=tuple(dict.fromkeys(("/", *(_path("--path", each) for each in given["paths"])))),
        unsafe=tuple(_path("--unsafe", each) for each in given["unsafe"]),
        fields=_fields(given["header"]),
        seconds=_SECONDS.read(given["time_limit"], "--time-limit"),
        threads=config.threads,
        verbose=given["verbose"],
        patches=True,
    )


def _path(option: str, path: str) -> str:
    if not path.startswith("/") or "#" in path or not path.isprintable() or " " in path:
        raise ConfigError(f"{option} is {path!r}; allowed is the path of a URL, as /shop/cart?x=1")
    return path


def _fields(given: tuple[str, ...]) -> Fields:
    fields = []
    for each in given:
        name, colon, value = each.partition(":")
        if not colon or not name.strip() or not each.isprintable():
            raise ConfigError(
                f"--header is {each!r}; allowed is NAME: VALUE, as Host: shop.example"
            )
        fields.append((name.strip().lower(), value.strip()))
    return tuple(fields)
