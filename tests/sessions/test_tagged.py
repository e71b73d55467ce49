"""JSON with tags, compared with Flask's."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.json.tag import TaggedJSONSerializer
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from bridge.sessions import tagged

FLASK = TaggedJSONSerializer()
APP = Flask(__name__)


def flask_dumps(value: Any) -> str:
    """What Flask writes, in a request: its JSON provider sorts keys there."""
    with APP.app_context():
        return FLASK.dumps(value)


@dataclasses.dataclass
class Point:
    """A value without a tag."""

    x: int


VALUES = [
    {"cart": [1, 2.5, None, True, "ü"], "b": {"nested": {"a": (1, (2,))}}},
    {"bytes": b"\x00\xff", "uuid": UUID(int=7), "html": Markup("<b>")},
    {"when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)},
    {"when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=-5)))},
    {"naive": datetime(2026, 1, 2, 3, 4, 5, 678)},
    {" t": 1},
    {" di": {" t": [1]}},
    {" di__": {" b": "x"}},
    {"a": {" d": "no date"}, "z": [{}, {" m": "x", " u": "y"}]},
    {"date": date(2026, 1, 2), "price": Decimal("1.10"), "point": Point(1)},
]


@pytest.mark.parametrize("value", VALUES)
def test_both_write_the_same_and_read_what_the_other_wrote(value: Any) -> None:
    """M40: tuples, bytes, UUID, Markup, datetimes, and dicts that look like tags."""
    text = tagged.dumps(value)
    assert text == flask_dumps(value)
    assert tagged.loads(text) == FLASK.loads(text)


def test_types_come_back() -> None:
    """M40: what had a tag is of its type again; what had none is text."""
    back = tagged.loads(tagged.dumps({**VALUES[1], "t": (1, [2, (3,)]), "d": Decimal("1.10")}))
    assert back == {**VALUES[1], "t": (1, [2, (3,)]), "d": "1.10"}
    assert type(back["html"]) is Markup
    when = tagged.loads(tagged.dumps(VALUES[3]))["when"]
    assert when == VALUES[3]["when"]
    assert when.tzinfo is UTC


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.uuids() | st.text().map(Markup)
    | st.datetimes(min_value=datetime(1000, 1, 1))
)  # fmt: skip
keys = st.text() | st.sampled_from([" t", " di", " d", " b", " t__"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner, max_size=2)
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.dictionaries(keys, values, max_size=3))
def test_any_session_goes_both_ways(session: dict[str, Any]) -> None:
    """M40: both write the same, and both read it alike, whatever is in it."""
    text = tagged.dumps(session)
    assert text == flask_dumps(session)
    assert tagged.loads(text) == FLASK.loads(text)


@pytest.mark.parametrize("value", [{1, 2}, object(), Point])
def test_what_no_cookie_can_keep_is_an_error(value: Any) -> None:
    """M40: the error says what can be kept."""
    with pytest.raises(TypeError, match="it keeps what JSON can express"):
        tagged.dumps({"x": value})


def test_a_date_without_a_zone_is_utc() -> None:
    """M40: ``-0000`` says that the zone is not known."""
    text = '{" d":"Fri, 02 Jan 2026 03:04:05 -0000"}'
    assert tagged.loads(text) == FLASK.loads(text) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_date_that_is_none_is_read_as_flask_reads_it() -> None:
    """M40: it is None, and no error."""
    text = '{"a":{" d":"no date"}}'
    assert tagged.loads(text) == FLASK.loads(text) == {"a": None}


def test_without_markupsafe_html_stays_html(monkeypatch: pytest.MonkeyPatch) -> None:
    """M40: what Flask wrote as Markup is written back as Markup, with itsdangerous alone."""
    monkeypatch.setitem(sys.modules, "markupsafe", None)
    try:
        alone = importlib.reload(tagged)
        text = flask_dumps({"html": Markup("<b>")})
        assert alone.loads(text) == {"html": "<b>"}
        assert alone.dumps(alone.loads(text)) == text
    finally:
        monkeypatch.undo()
        importlib.reload(tagged)
