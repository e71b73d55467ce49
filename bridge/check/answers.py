"""What came of a request, whatever kind of app has answered it; what is wrong is noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from bridge.check.findings import Findings
from bridge.check.places import place_of_error
from bridge.check.requests import Options, Request
from bridge.errors import IllegalMessage, IllegalResponse
from bridge.http.response_head import ResponseHead
from bridge.loops.watchdog.stack import Place

#: What a server answers, or an app, if it does not know a method.
_NOT_KNOWN: Final = 501
#: The page is elsewhere.
_MOVED: Final = frozenset({301, 302, 307, 308})
#: After so many requests that hang, no more are sent.
MOST_HANGING: Final = 2


@dataclass
class Answer:
    """What came of a request; `status` 0: there was no response."""

    request: Request
    status: int = 0
    size: int = 0
    error: BaseException | None = None
    body_was_read: bool = False
    #: Where it sends the client.
    location: str = ""
    hangs: bool = False
    #: Whether its response did not end: the check has left it, as a client does.
    streams: bool = False
    #: Where it stands, if it hangs.
    place: Place | None = None


def take_head(answer: Answer, head: ResponseHead | None) -> None:
    """Note what the head of the response says; None: there was none."""
    if head is None:
        return
    answer.status = head.status_code
    for name, value in head.raw_headers:
        if name.lower() == b"location":
            answer.location = value.decode("latin-1")


def note_stream(answer: Answer, pieces: str, cost: str, findings: Findings) -> None:
    """Note that the response of `answer` was left after so many `pieces`, since it does not end."""
    answer.streams = True
    request = answer.request
    findings.add_once(request.path, "endless", request=request.where, pieces=pieces, cost=cost)


def judge(answer: Answer, logged: BaseException | None, findings: Findings) -> None:
    """Note an error, or a status that tells of one; `logged` is the last error in the log."""
    request, error = answer.request, answer.error
    if request.leaves and request.body:
        return  # its client has left, and whatever came of that was sent to nobody
    if error is not None and not isinstance(error, IllegalMessage | IllegalResponse):
        place = place_of_error(error)
        key = place or shown(error)
        findings.add_once(key, "raises", place, request=request.where, error=shown(error))
    elif answer.status >= 500 and answer.status != _NOT_KNOWN:
        why = f": {shown(logged)}" if logged is not None else ""
        place = place_of_error(logged) if logged is not None else None
        about = {"request": request.where, "status": _named(answer), "why": why}
        findings.add_once((answer.status, why, place), "status-5xx", place, **about)
    elif logged is not None and error is None:
        findings.add("logged", place_of_error(logged), error=shown(logged))


def remarks(answers: Sequence[Answer], options: Options, *, nothing_there: bool) -> list[str]:
    """Say what was not sent, and why."""
    said = []
    if sum(each.hangs for each in answers) >= MOST_HANGING:
        said.append("Nothing more was sent: the app hangs.")
    elif not nothing_there and not options.unsafe:
        said.append(
            f"No POST was sent: {_missing(answers, options)}. Where a POST does no harm, say "
            "--unsafe PATH."
        )
    elif not options.unsafe and not any(each.body_was_read for each in answers):
        said.append(
            "No view was sent a body: only a path that does not exist was. Where a POST does no "
            "harm, say --unsafe PATH."
        )
    pages = {
        each.request.path: each
        for each in answers
        if each.request.method == "GET" and each.request.path in options.paths and each.status
    }
    if pages and not any(each.status == HTTPStatus.OK for each in pages.values()):
        got = ", ".join(f"GET {path} {_named(each)}" for path, each in pages.items())
        said.append(
            f"No page was seen ({got}), so little is known. Name pages with --path; what the app "
            "asks for with --header: 'Host: shop.example', 'Cookie: ...'."
        )
    return said


def _missing(answers: Sequence[Answer], options: Options) -> str:
    """Say how the path that cannot exist was answered, as GET."""
    for each in answers:
        if each.request.path == options.missing and each.status:
            return f"the app answers a path that cannot exist by {_named(each)}"
    return "the app answers a path that cannot exist"


def with_slash(answers: Sequence[Answer], missing: str) -> str | None:
    """Return `missing` with the slash to which the app sends all who forget it, as Django may."""
    for each in answers:
        sent_to = urlsplit(each.location).path
        if each.request.path == missing and each.status in _MOVED and sent_to.endswith("/"):
            return f"{missing}/" if sent_to.endswith(f"{missing}/") else None
    return None


def shown(error: BaseException) -> str:
    """Return an error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:160].rstrip(": ")


def _named(answer: Answer) -> str:
    try:
        return f"{answer.status} {HTTPStatus(answer.status).phrase}"
    except ValueError:
        return str(answer.status)
