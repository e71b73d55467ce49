"""docs/reference/metrics.md: every family that `/metrics` has, as the code makes them."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from bridge.errors import Overloaded
from bridge.runners.inline import InlineRunner
from bridge.server.apps.canaries import canary_families
from bridge.server.logs.refusals import Refusals
from bridge.server.metrics.figures import Figures
from bridge.server.metrics.snapshot import Family, Snapshot
from bridge.server.process.fleet.members import Gone
from bridge.server.process.monitoring import Monitoring
from tools.modules import code, read
from tools.site.messages import words

HEAD = """\
# Metrics

<!-- Made from the code by scripts/fix. -->

Every family that `/metrics` has, in Prometheus' text format; [how to turn it
on](../howto/see-what-it-does.md). Names, types and labels are promised (O2). With a supervisor the
figures of all workers are added up, those that are gone included; a family with the label `worker`
has the figures of each of them, by the number of its place. A histogram has `_bucket`, `_sum` and
`_count`, as usual. Times are in seconds.
"""

#: Heading -> how the names of its families begin. The first that fits counts.
SECTIONS = {
    "Moving from old to new": "bridge_cutover_",
    "Requests": "bridge_(requests|responses|aborted|request_|refusals)",
    "Connections": "bridge_(connections|websockets|received|sent)",
    "Threads and greenlets": "bridge_(threads|queue)",
    "The event loop": "bridge_event_loop_",
    "Processes": "",
}

#: Texts of the code that look like the name of a family, and are none.
_NO_FAMILIES = {
    "bridge_canary",  # a cookie
    "bridge_in_copy",  # the names of two context variables
    "bridge_either_exchange",
}
_MAY_HAVE_NAMES = re.compile(r"[\"'](bridge|process)_")
_NAME = re.compile(r"(bridge|process)_[a-z_]+")


class _Threads(InlineRunner):
    """A runner with the figures of one that has threads."""

    threaded = True


def families() -> Snapshot:
    """Every family, with a sample for each set of labels: those of workers, of a supervisor."""
    refusals = Refusals()
    refusals.note(None, Overloaded("full"))
    figures = Figures((), refusals)
    figures.meter("/", "shop", "old")
    figures.use_runners([("/", _Threads())])
    route = {"shop": 0}
    copies = SimpleNamespace(
        counts=lambda: {"shop": {"equal": 0}}, reasons=lambda: {"shop": {"full": 0}}
    )
    canary = SimpleNamespace(rollbacks=lambda: route, rescues=route)
    cutover = SimpleNamespace(canary=canary, copies=copies)
    monitoring = Monitoring(cast(Any, SimpleNamespace(roster=(), wanted=1)))
    monitoring.note(Gone(cast(Any, SimpleNamespace(figures=None)), "reload"))
    return {**figures.snapshot(), **canary_families([cutover]), **monitoring.figures()}


def in_code(folder: Path) -> set[str]:
    """The names of families that stand in the code: each text that looks like one.

    An f-string that ends like one counts with `...`, as `bridge_..._total`.
    """
    return {
        text
        for module in read(folder)
        if _MAY_HAVE_NAMES.search(module.text)
        for node, _ in code(module)
        if isinstance(node, ast.Constant | ast.JoinedStr)
        for text in [words(node, ())]
        if _NAME.fullmatch(text.replace("...", "x")) and text not in _NO_FAMILIES
    }


def problems(names: set[str]) -> list[str]:
    """Names in the code that no family has, and families that no name in the code fits."""
    made = families().keys()
    patterns = {name: re.escape(name).replace(r"\.\.\.", "[a-z_]*") for name in names}
    return [
        *(
            f"{name} is a metric in the code, and not on metrics.md"
            for name, pattern in patterns.items()
            if not any(re.fullmatch(pattern, each) for each in made)
        ),
        *(
            f"{each} is on metrics.md, and not in the code"
            for each in made
            if not any(re.fullmatch(pattern, each) for pattern in patterns.values())
        ),
    ]


def render() -> str:
    """The whole page."""
    left = families()
    parts = [HEAD]
    for title, begin in SECTIONS.items():
        rows = []
        for name in sorted(each for each in left if re.match(begin, each)):
            rows.append(_row(name, left.pop(name)))
        table = "".join(rows)
        parts.append(
            f"\n## {title}\n\n| family | type | labels | what it is |\n"
            f"| --- | --- | --- | --- |\n{table}"
        )
    return "".join(parts)


def _row(name: str, family: Family) -> str:
    labels = [*dict.fromkeys(label for labels, _ in family["samples"] for label in labels)]
    if family.get("per") == "worker":
        labels.append("worker")
    shown = ", ".join(f"`{label}`" for label in labels)
    return f"| `{name}` | {family['type']} | {shown} | {family['help']} |\n"
