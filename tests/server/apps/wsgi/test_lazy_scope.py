"""``asgi.scope`` of a WSGI app on our server: a dict in every way (W10)."""

from __future__ import annotations

import copy
import json
import pickle
import types
from collections import ChainMap
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.server.apps.wsgi.lazy_scope import LazyScope, lazy_scope
from bridge.types import Scope
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.raw import request
from tests.support.serving import served

MADE: Scope = {"type": "http", "path": "/x", "state": {}, "headers": [["a", "b"]]}
OTHER = {"path": "/other", "more": 1}


class Exchange:
    """An exchange that is its own handler."""

    def __init__(self) -> None:
        self.made = 0

    @property
    def handler(self) -> Exchange:
        return self

    def build_scope(self, exchange: Any) -> Scope:
        self.made += 1
        return copy.deepcopy(MADE)


def lazy() -> LazyScope:
    return lazy_scope(Exchange())


def setting(scope: Any) -> None:
    scope["path"] = "/mine"


def deleting(scope: Any) -> None:
    del scope["path"]


def uniting(scope: Any) -> None:
    scope |= OTHER


def keywords(**given: Any) -> dict[str, Any]:
    return given


def matched(scope: Any) -> Any:
    match scope:
        case {"path": path, **rest}:
            return path, rest
    return None


LOOKS: dict[str, Callable[[Any], Any]] = {
    "[]": lambda scope: scope["path"],
    "[] of none": lambda scope: scope["none"],
    "[] of what it is made with": lambda scope: scope["type"],
    "get": lambda scope: (scope.get("path"), scope.get("none"), scope.get("none", 1)),
    "in": lambda scope: ("path" in scope, "none" in scope, "path" not in scope),
    "len": len,
    "bool": bool,
    "list": list,
    "sorted": sorted,
    "reversed": lambda scope: list(reversed(scope)),
    "keys": lambda scope: list(scope.keys()),
    "values": lambda scope: list(scope.values()),
    "items": lambda scope: list(scope.items()),
    "reversed items": lambda scope: list(reversed(scope.items())),
    "set of keys": lambda scope: scope.keys() & {"path", "none"},
    "pop": lambda scope: scope.pop("path"),
    "pop of none": lambda scope: scope.pop("none"),
    "pop with default": lambda scope: (scope.pop("path", None), scope.pop("none", 5)),
    "popitem": lambda scope: scope.popitem(),
    "setdefault": lambda scope: (scope.setdefault("path", "?"), scope.setdefault("new", 1)),
    "set": setting,
    "del": deleting,
    "update": lambda scope: scope.update(OTHER),
    "update with keywords": lambda scope: scope.update(path="/k"),
    "clear": lambda scope: scope.clear(),
    "|": lambda scope: (scope | OTHER, OTHER | scope),
    "|=": uniting,
    "==": lambda scope: (scope == MADE, scope == MADE, scope == OTHER, scope == 5),
    "!=": lambda scope: (scope != MADE, scope != MADE, scope != OTHER),
    "== another": lambda scope: (scope == lazy(), lazy() == scope, lazy() != scope),
    "<": lambda scope: scope < MADE,
    "repr": repr,
    "str": lambda scope: f"{scope} {scope!s}",
    "copy": lambda scope: scope.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda scope: pickle.loads(pickle.dumps(scope)),
    "old pickle": lambda scope: pickle.loads(pickle.dumps(scope, 0)),
    "json": json.dumps,
    "json of a list": lambda scope: json.dumps([scope], sort_keys=True, indent=1),
    "dict": dict,
    "dict with keywords": lambda scope: dict(scope, new=1),
    "{**}": lambda scope: {"new": 1, **scope},
    "f(**)": lambda scope: keywords(**scope),
    "dict.update": lambda scope: {"path": 1, "a": 2} | dict(scope),
    "update of another": lambda scope: (other := {"path": 1}).update(scope) or other,
    "unpacked": lambda scope: [*scope],
    "match": matched,
    "mapping proxy": lambda scope: dict(types.MappingProxyType(scope)),
    "chain map": lambda scope: dict(ChainMap({}, scope)),
    "format_map": lambda scope: "{path}".format_map(scope),
    "hash": hash,
    "isinstance": lambda scope: isinstance(scope, dict),
    "fromkeys": lambda scope: dict(scope.fromkeys(["a"])) if type(scope) is dict else {"a": None},
    "any": any,
    "max": max,
    "zip": lambda scope: list(zip(scope, scope.values(), strict=True)),
}


def outcome(look: Callable[[Any], Any], scope: Any) -> Any:
    """What comes of a look, and what is there after it."""
    try:
        found = look(scope)
    except Exception as error:
        found = type(error), error.args if isinstance(error, KeyError) else None
    return found, dict(scope), list(scope.items())


@pytest.mark.parametrize("look", LOOKS)
def test_every_look(look: str) -> None:
    """W10: the first look, whatever it is, sees and leaves what it would in a dict."""
    assert outcome(LOOKS[look], lazy()) == outcome(LOOKS[look], copy.deepcopy(MADE))


@given(st.lists(st.sampled_from(sorted(LOOKS)), max_size=6))
def test_any_looks_in_a_row(looks: list[str]) -> None:
    """W10: so do all that follow, in whatever order."""
    scope, plain = lazy(), copy.deepcopy(MADE)
    for look in looks:
        assert outcome(LOOKS[look], scope) == outcome(LOOKS[look], plain), look


def test_every_method_of_dict() -> None:
    """W10: no method of dict is left that would look at a scope that is not made."""
    plain = {"__doc__", "__getitem__", "__hash__", "__new__", "__init__", "__getattribute__"}
    for name in set(vars(dict)) - plain - {"__class_getitem__", "fromkeys"}:
        assert getattr(LazyScope, name) is not getattr(dict, name), name


def test_made_once_and_only_when_wanted() -> None:
    """W10: what nobody looks at is not made."""
    exchange = Exchange()
    scope = lazy_scope(exchange)
    assert exchange.made == 0
    assert len(scope) == len(scope) == 4
    scope.clear()
    assert scope == {}
    assert exchange.made == 1


@pytest.mark.parametrize("kind", [copy.copy, lambda scope: scope | {}, dict, pickle.dumps])
def test_what_is_made_of_it_is_a_dict(kind: Any) -> None:
    """W10: nothing of ours goes with a copy."""
    made = kind(lazy())
    assert type(pickle.loads(made) if isinstance(made, bytes) else made) is dict


@pytest.mark.parametrize("runner", ["thread", "inline", "greenlet"])
def test_over_the_wire(runner: Any) -> None:
    """W10: an app that takes something out first gets it, and each request has its own."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        scope = environ["asgi.scope"]
        path = scope.pop("path")
        asgi = scope["asgi"].pop("version", "gone")
        said = json.dumps([path, asgi, sorted({**scope})])
        start_response("200 OK", [])
        return [said.encode()]

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        for _ in range(3):
            client.send(request("/here"))
            path, version, keys = json.loads(client.response().body)
            assert (path, version) == ("/here", "3.0")
            assert {"type", "headers", "query_string", "client"} < set(keys)
            assert "path" not in keys
