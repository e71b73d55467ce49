"""Noise: what the old app answers differently each time."""

from __future__ import annotations

from bridge.cutover.shadow.compare import Comparison, compare
from bridge.cutover.shadow.noise import MOST, MOST_ROUTES, Noise
from bridge.cutover.shadow.records import RecordedRequest, RecordedResponse

REQUEST = RecordedRequest("GET", "/")


def response(body: str, kind: str = "application/json", *fields: tuple[str, str]):
    """A response of an app."""
    return RecordedResponse(200, (("content-type", kind), *fields), body.encode())


def test_what_the_old_app_answers_differently_is_no_difference() -> None:
    """M11: noise is learned from two answers of the old app, for all items and later requests."""
    noise = Noise()
    old, again = response('[{"at": 1, "x": 1}]'), response('[{"at": 2, "x": 1}]')
    new = response('[{"at": 3, "x": 2}, {"at": 4}]')
    here = noise.learn("items", compare(REQUEST, old, again))
    assert here == noise.of("items") == {"$[*].at"}
    found = compare(REQUEST, old, new, noise=here)
    assert [each.place for each in found.differences] == ["$[0].x", "$[1]"]
    assert noise.of("other") == frozenset()


def test_a_text_teaches_nothing_for_other_texts() -> None:
    """M11: words, statuses, whole bodies and lengths of arrays are noise for their request only."""
    noise = Noise()
    old, again = response("t=1 b", "text/html"), response("t=2 b", "text/html")
    here = noise.learn("page", compare(REQUEST, old, again))
    assert compare(REQUEST, old, response("t=3 b", "text/html"), noise=here).equal
    assert not compare(REQUEST, old, response("t=3 c", "text/html"), noise=here).equal
    assert noise.of("page") == frozenset()
    assert noise.learn("page", compare(REQUEST, response("[1]"), response("[1, 2]"))) == {"$[*]"}
    assert noise.learn("page", compare(REQUEST, response("1"), response("2"))) == {"$"}
    assert noise.of("page") == frozenset()


def test_fields_and_cookies_are_learned() -> None:
    """M11: fields and cookies that come and go are noise for the whole route."""
    noise = Noise()
    old = response("", "text/html", ("set-cookie", "a=1"))
    noise.learn("page", compare(REQUEST, old, response("", "text/css")))
    assert noise.of("page") == {"cookie:a", "header:content-type"}
    again = response("", "text/html", ("set-cookie", "a=1; Secure"))
    assert compare(REQUEST, old, again, noise=noise.of("page")).equal


def test_what_is_learned_is_bounded() -> None:
    """M11: an app that is all noise, and names of routes without end, cost bounded memory."""
    noise = Noise()
    for number in range(MOST):
        old, again = response(f'{{"a{number}": 1}}'), response(f'{{"b{number}": 1}}')
        noise.learn("all", compare(REQUEST, old, again))
    assert len(noise.of("all")) <= MOST
    twice = compare(REQUEST, response('{"a": 1}'), response('{"a": 2}'))
    for number in range(MOST_ROUTES + 10):
        noise.learn(str(number), twice)
    assert noise.of("0")
    assert not noise.of(str(MOST_ROUTES + 9))
    assert noise.learn("one more", Comparison()) == frozenset()
