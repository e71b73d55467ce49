"""What is sent to an app of either kind, and in which order."""

from __future__ import annotations

from bridge.check.answers import MOST_HANGING, Answer
from bridge.check.driving import Drive
from bridge.check.findings import Findings
from bridge.check.requests import Options, Request
from bridge.check.watching.logs import Logs


class Driven(Drive):
    """An app that answers 404 to paths that cannot exist; with a slash it redirects to them."""

    def __init__(self, *, slashes: bool = False, there: bool = False, hangs: bool = False) -> None:
        options = Options(missing="/no", unsafe=("/post",))
        super().__init__(options, Findings(), Logs(passes_on=False), "")
        self.slashes, self.there, self.hangs = slashes, there, hangs

    def run(self) -> None:
        self._send_requests()

    def _send(self, request: Request) -> Answer:
        if self.slashes and request.path == "/no":
            return Answer(request, 301, location="http://x/no/")
        missing = request.path in ("/no", "/no/") and not self.there
        return Answer(request, 404 if missing else 200, hangs=self.hangs)


def sent(drive: Drive) -> list[str]:
    """Method and path of each request; of those to one path that follow each other, once."""
    drive.run()
    asked = [f"{each.request.method} {each.request.path}" for each in drive.answers]
    return [each for at, each in enumerate(asked) if not at or asked[at - 1] != each]


def test_reading_comes_first() -> None:
    """M51: then POSTs to the paths that are given, and to one that does not exist."""
    drive = Driven()
    assert sent(drive) == [
        *("GET /", "HEAD /", "OPTIONS /", "GET /", "GET /no"),
        *("POST /post", "POST /no"),
    ]
    assert drive.nothing_there


def test_a_path_that_may_exist_gets_no_post() -> None:
    """M51: the app has not said that nothing is there."""
    drive = Driven(there=True)
    assert sent(drive)[-1] == "POST /post"
    assert not drive.nothing_there


def test_a_slash_that_the_app_wants() -> None:
    """M51: is added, and the path with it is the one that does not exist."""
    drive = Driven(slashes=True)
    assert sent(drive)[-4:] == ["GET /no", "GET /no/", "POST /post", "POST /no/"]
    assert drive.nothing_there


def test_an_app_that_hangs() -> None:
    """M51: soon nothing more is sent."""
    drive = Driven(hangs=True)
    drive.run()
    assert len(drive.answers) == MOST_HANGING
    assert drive.remarks() == ["Nothing more was sent: the app hangs."]
