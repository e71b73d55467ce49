"""How an app reads is noted (M51)."""

from __future__ import annotations

import pytest

from bridge.check.findings import Findings
from bridge.check.wsgi.body import Body
from bridge.errors import ClientDisconnected


def body(findings: Findings, data: bytes = b"one\ntwo\n", *, breaks_off: bool = False) -> Body:
    return Body(data, findings, breaks_off=breaks_off)


def test_it_reads_as_a_file() -> None:
    """M51: by sizes, by lines, into a buffer, all of it."""
    findings = Findings()
    assert body(findings).read(3) == b"one"
    assert body(findings).readline() == b"one\n"
    assert list(body(findings)) == [b"one\n", b"two\n"]
    buffer = memoryview(bytearray(4))
    assert body(findings).readinto(buffer) == 4
    assert list(findings) == []
    assert body(findings).read() == b"one\ntwo\n"
    assert body(findings).readlines() == [b"one\n", b"two\n"]
    assert [each.id for each in findings] == ["unbounded-read"]


def test_late_reads() -> None:
    """M51: after the first piece of the response, and after its end."""
    findings = Findings()
    stream = body(findings)
    assert not stream.was_read
    stream.has_begun = True
    stream.read(1)
    assert stream.was_read
    assert [each.id for each in findings] == ["late-read"]
    stream.is_over = True
    stream.read(1)
    assert {each.id for each in findings} == {"late-read", "read-after-end"}


def test_a_client_that_breaks_off() -> None:
    """M51: half of the body comes, then the error that a server raises."""
    stream = body(Findings(), breaks_off=True)
    assert stream.read(4) == b"one\n"
    with pytest.raises(ClientDisconnected):
        stream.read(4)
    with pytest.raises(ClientDisconnected):
        body(Findings(), breaks_off=True).read()
