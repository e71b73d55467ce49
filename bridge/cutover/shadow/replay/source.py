"""Read a recording: HAR or our own, with what cannot be asked again counted and named (M13)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.cutover.shadow.methods import SAFE, is_safe, overrides_method
from bridge.cutover.shadow.records import RecordedRequest, first
from bridge.cutover.shadow.replay import har, recording
from bridge.cutover.shadow.replay.recording import BrokenEntry
from bridge.cutover.shadow.report.file import parts_of
from bridge.errors import ConfigError

#: The largest file that is read: it is in memory as a whole.
_MOST_BYTES: Final = 512 * 1024 * 1024
#: The most broken entries that are named.
_MOST_NAMED: Final = 10


@dataclass(slots=True)
class Recording:
    """The requests of a file; `skipped`: reason -> how many; `broken`: what is wrong with some."""

    requests: list[RecordedRequest] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def name_broken(self, entry: str, why: object) -> None:
        """Count an entry that is no request."""
        self.skipped["broken"] += 1
        if len(self.broken) < _MOST_NAMED:
            self.broken.append(f"{entry}: {why}")

    def keep(self, is_kept: Callable[[RecordedRequest], object], reason: str) -> None:
        """Keep what `is_kept` is true for, and count the others as skipped for `reason`."""
        kept = [request for request in self.requests if is_kept(request)]
        if skipped := len(self.requests) - len(kept):
            self.skipped[reason] += skipped
        self.requests = kept

    def select(self, host: str | None, *, unsafe: bool) -> None:
        """Keep what is asked of `host` (None: of any), by safe methods only unless `unsafe`."""
        kept = []
        for request in self.requests:
            own = (first(request.headers, "host") or "").lower()
            if host is not None and own != host.lower():
                self.skipped[f"for the host {own[:100]}"] += 1
            elif request.method not in SAFE and not unsafe:
                self.skipped[f"{request.method[:20]}, which is not safe to repeat (--unsafe)"] += 1
            elif overrides_method(request) and not unsafe:
                self.skipped["those that name another method, not safe to repeat (--unsafe)"] += 1
            elif request.truncated and not is_safe(request):
                self.skipped["the body is not in the recording as a whole"] += 1
            else:
                kept.append(request)
        self.requests = kept


def read_recording(path: str, host: str | None, *, unsafe: bool) -> Recording:
    """Return the requests in the file at `path` that are to be asked again.

    Of a HAR, which has all that a page has loaded from anywhere, these are the requests to `host`,
    or else to the host of its first request. Raises `ConfigError` if the file has no requests.
    """
    try:
        parts = parts_of(path)
        if sum(part.stat().st_size for part in parts) > _MOST_BYTES:
            raise ConfigError(f"{path} is too large: at most {_MOST_BYTES >> 20} MiB are read")
        data = b"".join(part.read_bytes() for part in parts)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}; name a HAR, or what the recorder has written"
        ) from None
    if not parts:
        raise ConfigError(f"{path} is no file; name a HAR, or what the recorder has written")
    found = _from_har(path, data)
    if found is not None and host is None and found.requests:
        host = first(found.requests[0].headers, "host")
    if found is None:
        found = _from_lines(path, data)
    found.select(host, unsafe=unsafe)
    return found


def _from_har(path: str, data: bytes) -> Recording | None:
    """Return the requests of a HAR; None if it is no JSON as a whole, or no HAR."""
    try:
        whole: Any = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    entries = har.entries_of(whole) if isinstance(whole, dict) else None
    if entries is None:
        return None
    found = Recording()
    for number, entry in enumerate(entries, 1):
        if har.is_websocket(entry):
            found.skipped["WebSockets"] += 1
            continue
        try:
            found.requests.append(har.request_from(entry))
        except BrokenEntry as error:
            found.name_broken(f"entry {number} of {path}", error)
    return found


def _from_lines(path: str, data: bytes) -> Recording:
    """Return the requests of our own recording. Raises `ConfigError` if there are none at all."""
    found = Recording()
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.requests.append(recording.request_from(json.loads(line)))
        except (BrokenEntry, RecursionError) as error:
            found.name_broken(f"line {number} of {path}", error)
        except ValueError:
            found.name_broken(f"line {number} of {path}", "it is no JSON")
    if not found.requests and found.broken:
        raise ConfigError(
            f"{path} is neither a HAR nor a recording of ours ({found.broken[0]}); export one from "
            "a browser, or write one with the recorder"
        )
    return found
