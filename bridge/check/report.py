"""What is printed: the findings, how the app can be served, and one line that says what to do.

For people it is at most 80 columns wide, but for paths of files and for the last line.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.arguments.kinds import Kind
from bridge.check.catalogue.entry import SEVERITIES, Severity
from bridge.check.findings import Finding
from bridge.check.kind import NAMES
from bridge.check.places import shown
from bridge.check.verdicts import Advice, Verdict, unseen
from bridge.errors import pluralize

_WIDTH: Final = 80
_INDENT: Final = " " * 9


@dataclass
class AppReport:
    """What was found about one app; `place` is empty, or where it is mounted."""

    name: str
    kind: Kind
    why: str
    findings: list[Finding]
    verdicts: list[Verdict]
    sent: str = ""
    count: int = 0
    #: What was not done, and why; what can be given for it.
    remarks: list[str] = field(default_factory=list)


@dataclass
class Report:
    """What was found about all that a target names."""

    apps: list[AppReport]
    #: What concerns the process, and no app alone.
    findings: list[Finding]
    advice: Advice

    @property
    def all_findings(self) -> list[Finding]:
        """Everything that was found."""
        return [*self.findings, *(each for app in self.apps for each in app.findings)]

    def without(self, ignored: Sequence[str]) -> Report:
        """Return it without the findings of these ids."""
        apps = [
            AppReport(**{**vars(each), "findings": _kept(each.findings, ignored)})
            for each in self.apps
        ]
        return Report(apps, _kept(self.findings, ignored), self.advice)

    @property
    def worst(self) -> Severity:
        """The severity of the worst finding."""
        return max(
            (each.severity for each in self.all_findings), key=SEVERITIES.index, default="ok"
        )


def _kept(findings: Sequence[Finding], ignored: Sequence[str]) -> list[Finding]:
    return [each for each in findings if each.id not in ignored]


# ------------------------------------------------------------- as JSON


def as_json(report: Report) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    return {
        "worst": report.worst,
        "apps": [
            {
                "name": each.name,
                "kind": each.kind,
                "why": each.why,
                "requests": each.count,
                "sent": each.sent,
                "findings": [_finding_as_json(finding) for finding in each.findings],
                "ways": {
                    verdict.way: {"fails": list(verdict.fails), "care": list(verdict.care)}
                    for verdict in each.verdicts
                },
                "not_seen": unseen(each.kind, each.findings),
                "remarks": each.remarks,
            }
            for each in report.apps
        ],
        "findings": [_finding_as_json(each) for each in report.findings],
        "serve": {"command": report.advice.command, "why": report.advice.why},
    }


def _finding_as_json(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "severity": finding.severity,
        "text": finding.text,
        "advice": finding.advice,
        "places": [each._asdict() for each in finding.places],
    }


# ------------------------------------------------------------- for people


def as_text(report: Report) -> str:
    """Return it for people."""
    lines: list[str] = []
    for each in report.apps:
        lines += [*_about_app(each), ""]
    if report.findings:
        lines.append("The process")
        for finding in report.findings:
            lines += _about_finding(finding)
        lines.append("")
    lines.append(f"Serve it: {report.advice.command}  ({report.advice.why})")
    return "\n".join(lines)


def _about_app(app: AppReport) -> Iterator[str]:
    yield from _wrapped(f"{app.name} is {NAMES[app.kind]}: {app.why}.", "", "  ")
    if app.sent:
        yield from _wrapped(f"Sent: {app.sent}.", "  ", "  ")
    for finding in app.findings:
        yield from _about_finding(finding)
    for remark in app.remarks:
        yield from _wrapped(remark, "  ", "  ")
    if not app.count:
        return
    not_seen = unseen(app.kind, app.findings)
    requests = pluralize(app.count, "request")
    if not_seen:
        yield from _wrapped(f"Not seen in {requests}: {', '.join(not_seen)}.", "  ", "  ")
    yield f"  Ways to serve it, after {requests}:"
    for verdict in app.verdicts:
        yield from _wrapped(f"{verdict.way:18}{verdict}", "    ", " " * 22)


def _about_finding(finding: Finding) -> Iterator[str]:
    text = f"{finding.text} [{finding.id}]"
    yield from _wrapped(f"{finding.severity:9}{text}", "", _INDENT)
    for place in finding.places:
        yield f"{_INDENT}at {shown(place)}"
    if finding.advice:
        yield from _wrapped(finding.advice, _INDENT, _INDENT)


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
