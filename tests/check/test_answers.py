"""What came of a request is judged (M51)."""

from __future__ import annotations

import pytest

from bridge.check.answers import Answer, judge, remarks, shown, with_slash
from bridge.check.findings import Findings
from bridge.check.requests import Options, Request
from bridge.errors import IllegalResponse

GET = Request("GET", "/")


@pytest.mark.parametrize(
    ("answer", "logged", "found"),
    [
        (Answer(GET, 200), None, []),
        (Answer(GET, 404), None, []),
        (Answer(GET, 501), None, []),
        (
            Answer(GET, 500),
            ValueError("x"),
            ["GET / is answered 500 Internal Server Error: ValueError: x"],
        ),
        (Answer(GET, 599), None, ["GET / is answered 599"]),
        (Answer(GET, 200), ValueError("x"), ["it logs an error: ValueError: x"]),
        (Answer(GET, 0, error=KeyError("k")), None, ["GET / raises KeyError: 'k'"]),
        (Answer(GET, 0, error=IllegalResponse("told already")), None, []),
    ],
)
def test_statuses_and_errors(answer: Answer, logged: Exception | None, found: list[str]) -> None:
    """M51: 5xx and errors count, with what was logged; 501 says that a method is not known."""
    findings = Findings()
    judge(answer, logged, findings)
    assert [each.text for each in findings] == found


def test_an_error_is_one_line() -> None:
    """M51: of bounded length."""
    assert shown(ValueError("a\n  b")) == "ValueError: a b"
    assert shown(ValueError()) == "ValueError"
    assert len(shown(ValueError("x" * 1000))) == 160


def test_what_was_not_sent_is_said() -> None:
    """M51: with the reason, and what to give for it."""
    hanging = [Answer(GET, hangs=True)] * 2
    assert remarks(hanging, Options(), nothing_there=False) == [
        "Nothing more was sent: the app hangs."
    ]
    (said,) = remarks([Answer(GET, 200)], Options(), nothing_there=False)
    assert said.startswith("No POST was sent: the app answers a path that cannot exist. Where")
    options = Options(missing="/none")
    answers = [Answer(GET, 200), Answer(Request("GET", "/none"), 200)]
    (said,) = remarks(answers, options, nothing_there=False)
    assert "the app answers a path that cannot exist by 200 OK. Where" in said
    (said,) = remarks([Answer(GET, 200)], Options(), nothing_there=True)
    assert said.startswith("No view was sent a body")
    assert remarks([Answer(GET, 200)], Options(unsafe=("/x",)), nothing_there=True) == []


def test_that_no_page_was_seen_is_said() -> None:
    """M51: an app that answers 400 for another host, or sends all to a log-in, is hardly known."""
    options = Options(paths=("/", "/cart"), unsafe=("/x",))
    answers = [Answer(GET, 400), Answer(Request("GET", "/cart"), 302)]
    (said,) = remarks(answers, options, nothing_there=True)
    assert said.startswith("No page was seen (GET / 400 Bad Request, GET /cart 302 Found), so")
    assert remarks([*answers, Answer(GET, 200)], options, nothing_there=True) == []


@pytest.mark.parametrize(
    ("status", "location", "found"),
    [
        (301, "/none/", "/none/"),
        (308, "http://localhost/none/", "/none/"),
        (302, "/login/?next=/none/", None),
        (302, "/none", None),
        (200, "/none/", None),
    ],
)
def test_a_slash_that_is_added(status: int, location: str, found: str | None) -> None:
    """M51: a framework that adds slashes to all paths has not said that something is there."""
    answers = [Answer(GET, 301, location="/x/"), Answer(Request("GET", "/none"), status)]
    answers[1].location = location
    assert with_slash(answers, "/none") == found
