"""docs/reference/errors.md: every type of error, and every text that one is raised with.

What to do about each type is in errors.toml. The texts are those in the code, with `...` for what
is filled in; each says itself what to do.
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bridge import errors
from tools.modules import Module, read
from tools.site.messages import calls, words

TABLE = Path(__file__).with_suffix(".toml")
HEAD = """\
# Errors

<!-- Made from tools/site/errors.toml and the code by scripts/fix. -->

Every error of the toolkit: first the types, then the texts. `...` stands for what is filled in: to
find a text, search for a part of it that stays the same. Each says what was seen, what is allowed,
and what to do next. [Lines of the log](messages.md) are on a page of their own; an error that ends
the command stands on standard error, after `Error:`.

## Types

All are subclasses of `bridge.BridgeError`. The status is that of the response, if one is still
possible; only texts of `RequestError` and `SelfRequest` are sent to the client. `ConfigError` ends
the command with exit code 2, as wrong usage does, and `AppLoadError` with 3.

| error | status | what it is | what to do |
| --- | --- | --- | --- |
"""

#: What the command line calls wrong usage is an error of click's.
_USAGE = "UsageError"
#: Types with sections of their own: what is wrong there is the request, or the load.
_BY_TYPE = {
    "What clients are told": ("RequestError",),
    "What apps do wrong": (
        "AppError",
        "IllegalMessage",
        "IllegalResponse",
        "UnsupportedScope",
        "WaitNotPossible",
        "SelfRequest",
        "LifespanFailed",
    ),
    "When it is full, or something is away": (
        "Overloaded",
        "ChannelFull",
        "MessageTooLarge",
        "LayerUnavailable",
    ),
    "When the client is gone": ("ClientDisconnected", "RequestCancelled", "RequestAnswered"),
}
#: The sections of all others -> how the paths begin of the files that raise them.
_BY_PLACE = {
    "The command line": ("server/cli.py", "server/commands/"),
    "Settings": ("server/config/", "server/proxy/", "accelerator/"),
    "The app, and how it is loaded": ("server/apps/", "check/"),
    "Addresses, TLS, files": ("server/network/", "server/control/", "server/operations/"),
    "Processes": ("server/process/", "server/lifecycle/"),
    "The log": ("server/logs/",),
    "Adapters and mounts": (
        "adapters/",
        "arguments/",
        "asgi/",
        "asgi1/",
        "dispatcher.py",
        "fallback.py",
        "http/",
        "runners/",
        "wsgi_to_asgi.py",
    ),
    "From an old app to a new one": ("cutover/",),
    "Channels, gateways and workers": ("channels/", "gateway/"),
    "Sessions and Django": ("sessions/", "django/"),
}
#: What raises an error that nobody is to meet.
_INTERNAL = {"no handler"}


class Text(NamedTuple):
    """A text that an error is made with: of which type, and in which file below bridge/."""

    text: str
    type: str
    path: str


def types() -> dict[str, type[errors.BridgeError]]:
    """The types of errors, the first ones as they stand in bridge/errors.py."""
    return {
        name: each
        for name, each in vars(errors).items()
        if inspect.isclass(each) and issubclass(each, errors.BridgeError)
    }


def in_code(folder: Path) -> list[Text]:
    """Every text of an error of ours in the code below a folder, in the order of the files."""
    modules = read(folder)
    kinds = _kinds(modules)
    found = [
        Text(text, kinds[name], module.path.partition("/")[2])
        for module in modules
        for call in calls(module.tree)
        for name in [_name(call.node.func)]
        if name in kinds and call.node.args
        for text in [words(call.node.args[0], call.scopes)]
        if re.search("[a-z]{3}", text) and text not in _INTERNAL
    ]
    return list(dict.fromkeys(found))


def _name(function: ast.expr) -> str:
    """What is called, without what it is looked up in."""
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _kinds(modules: list[Module]) -> dict[str, str]:
    """The name of a class -> the type that it counts as: its own, or that of its base.

    A name that stands for classes of several files counts only if all are errors of ours.
    """
    kinds = {name: name for name in (*types(), _USAGE)}
    others: set[str] = set()
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and node.name not in types():
                known = [kinds[name] for name in map(ast.unparse, node.bases) if name in kinds]
                if known and known != ["BridgeError"]:
                    kinds[node.name] = known[0]
                else:
                    others.add(node.name)
    return {name: kind for name, kind in kinds.items() if name not in others}


def advice() -> dict[str, str]:
    """What to do about each type."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def problems(texts: list[Text], named: dict[str, str]) -> list[str]:
    """Types without advice, advice for none, texts without a section, sections without texts."""
    known = types()
    begins = [begin for places in _BY_PLACE.values() for begin in places]
    typed = {name for names in _BY_TYPE.values() for name in names}
    placed = [each for each in texts if each.type not in typed]
    return [
        *(
            f"{name} is an error; say what to do in tools/site/{TABLE.name}"
            for name in known
            if name not in named
        ),
        *(f"{TABLE.name} names {name}, which is no error" for name in named if name not in known),
        *(
            f"{each.path} raises {each.type}, and has no section in tools/site/errors.py"
            for each in placed
            if _section(each) is None
        ),
        *(
            f"tools/site/errors.py names {begin}, where nothing is raised"
            for begin in begins
            if not any(each.path.startswith(begin) for each in placed)
        ),
    ]


def render(texts: list[Text]) -> str:
    """The whole page."""
    return "".join([HEAD, *_types(), *_sections(texts)])


def _types() -> Iterator[str]:
    named = advice()
    for name, each in types().items():
        about = " ".join((each.__doc__ or "").partition("\n\n")[0].split())
        yield f"| `{name}` | {each.status} | {_cell(about)} | {_cell(named.get(name, ''))} |\n"


def _sections(texts: list[Text]) -> Iterator[str]:
    for title in (*_BY_PLACE, *_BY_TYPE):
        within = sorted({(each.text, each.type) for each in texts if _section(each) == title})
        yield f"\n## {title}\n\n| text | error |\n| --- | --- |\n"
        for text, name in within:
            yield f"| {_code(text)} | `{name}` |\n"


def _section(text: Text) -> str | None:
    for title, names in _BY_TYPE.items():
        if text.type in names:
            return title
    for title, places in _BY_PLACE.items():
        if text.path.startswith(places):
            return title
    return None


def _code(text: str) -> str:
    cell = text.replace("|", "\\|").replace("\n", " ")
    return f"`` {cell} ``" if "`" in cell else f"`{cell}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
