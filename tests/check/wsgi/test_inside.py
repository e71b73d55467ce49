"""Whether middleware passes close() on (M51)."""

from __future__ import annotations

from typing import Any

import flask

from bridge.check.findings import Findings
from bridge.check.requests import Request
from bridge.check.wsgi.call import Call
from bridge.check.wsgi.inside import check_close
from tests.support.apps.awkward.troubled import Greedy, Passing, waits


def found(app: Any) -> list[str]:
    """The classes of middleware that are told."""
    findings = Findings()
    check_close(app, lambda: Call(app, Request("GET", "/"), Findings())(), findings)
    return [each.id for each in findings]


def test_the_one_that_does_not_is_found() -> None:
    """M51: also outside or inside of one that does; the app is as it was afterwards."""
    app = Passing(Greedy(waits))
    inner = app.app
    assert found(app) == ["not-closed"]
    assert app.app is inner
    assert inner.app is waits
    assert found(Greedy(Passing(waits))) == ["not-closed"]
    assert found(Passing(Passing(waits))) == []


def test_around_a_framework() -> None:
    """M51: Flask passes on what its own middleware returns."""
    app = flask.Flask("shop")
    app.add_url_rule("/", view_func=lambda: "home")
    assert found(app) == []
    app.wsgi_app = Passing(app.wsgi_app)  # type: ignore[method-assign]
    assert found(app) == []
    app.wsgi_app = Greedy(app.wsgi_app)  # type: ignore[method-assign]
    assert found(app) == ["not-closed"]


def test_what_may_not_be_changed_is_left_alone() -> None:
    """M51: an app that refuses is as it is."""

    class Frozen(Greedy):
        def __setattr__(self, name: str, value: object) -> None:
            if name in vars(self):
                raise AttributeError(name)
            super().__setattr__(name, value)

    assert found(Frozen(waits)) == []
