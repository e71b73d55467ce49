"""What the findings mean for each way to serve an app, and which way to take. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bridge.arguments.kinds import Kind
from bridge.check.catalogue.entry import ASGI_WAYS, INLINE, WSGI_WAYS
from bridge.check.findings import Finding

#: What asks for one thread, and one request at a time in it.
_ONE_THREAD: Final = frozenset({"shared-connection", "thread-bound"})
#: What holds up all others there: not worse than on the server that such an app comes from.
_HOLDS_UP: Final = frozenset({"c-driver", "waits"})
#: The workers that are recommended for it.
_WORKERS: Final = 4

#: What is looked for, by kind of app: if it is not found, that is said, and no more.
_SOUGHT: Final = {
    "wsgi": {
        "write": "write()",
        "late-read": "late reads of a body",
        "thread-state": "state kept in threads",
        "not-closed": "responses left open",
        "waits": "calls that wait",
    },
    "asgi": {
        "illegal-message": "wrong messages",
        "blocks-loop": "calls that block the loop",
        "ignores-leaving": "work for clients that have left",
    },
}


@dataclass(frozen=True)
class Verdict:
    """How one way to serve an app looks: `fails` and `care` are the ids of what speaks against."""

    way: str
    fails: tuple[str, ...] = ()
    care: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.fails:
            return f"will not do: {', '.join(self.fails)}"
        return f"with care: {', '.join(self.care)}" if self.care else "nothing seen against it"


def verdicts(kind: Kind, findings: Iterable[Finding]) -> list[Verdict]:
    """Return a verdict for each way to serve an app of that kind."""
    found = list(findings)
    one_thread = any(each.id in _ONE_THREAD for each in found)
    said = []
    for way in WSGI_WAYS if kind == "wsgi" else ASGI_WAYS:
        fails = [each.id for each in found if each.fails(way)]
        care = [each.id for each in found if each.needs_care(way)]
        if one_thread and way == INLINE:
            care += [each for each in fails if each in _HOLDS_UP]
            fails = [each for each in fails if each not in _HOLDS_UP]
        said.append(Verdict(way, _ids(fails), _ids(care)))
    return said


def _ids(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found))


def unseen(kind: Kind, findings: Iterable[Finding]) -> list[str]:
    """Return what was looked for and not found, in words."""
    found = {each.id for each in findings}
    sought = _SOUGHT["wsgi" if kind == "wsgi" else "asgi"]
    return [words for id, words in sought.items() if id not in found]


@dataclass(frozen=True)
class Advice:
    """The way to take: what to write, and why."""

    command: str
    why: str


def advice(
    command: str, kinds: Sequence[Kind], findings: Iterable[Finding], threads: int
) -> Advice:
    """Return the recommended way to serve apps of these `kinds`, which `command` names."""
    found = list(findings)
    ids = {each.id for each in found}
    if "gevent" in ids:
        return Advice(
            command.replace("asgi-bridge serve", "gunicorn -k gevent", 1),
            "until the patching is out: nothing here runs with it",
        )
    options, reasons = "", []
    if "wsgi" in kinds and ids & _ONE_THREAD:
        options += f" --runner inline --workers {_WORKERS}"
        reasons.append("one thread in each worker: it shares what it has opened at import")
    elif "wsgi" in kinds:
        options += f" --runner thread --threads {threads}"
        reasons.append("threads suit every WSGI app")
        if ids & {"c-driver", "psycopg2"}:
            reasons[-1] = "its drivers wait in C, which threads do not mind"
    if "lifespan-hangs" in ids:
        options += " --lifespan off"
        reasons.append("its lifespan never answers")
    if "lifespan-raises" in ids:
        options += " --lifespan on"
        reasons.append("so that a failed startup is told")
    if not reasons:
        reasons.append("ASGI apps need no runner: they run on the event loop")
    if any(each.severity == "error" and each.id not in _ONE_THREAD for each in found):
        reasons.append("when the errors are mended")
    return Advice(command + options, "; ".join(reasons))
