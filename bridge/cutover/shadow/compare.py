"""The comparison of two responses to one request (M11). Pure.

    compare(request, old, new, rules, noise) -> Comparison

Compared are the status, the fields that a client acts upon (`heads.py`), and the body: JSON by
structure (`json_walk.py`), text word by word, all else as bytes (`bodies.py`). A body that was cut
is compared as far as it goes, and `truncated` says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bridge.cutover.shadow.bodies import (
    MOST_DECODED,
    Body,
    body_of,
    compare_bytes,
    compare_words,
    words_of,
)
from bridge.cutover.shadow.cut_json import mended
from bridge.cutover.shadow.heads import both_redirect, compare_heads
from bridge.cutover.shadow.json_walk import (
    MOST_TOLD,
    Difference,
    Path,
    pattern_of,
    read_json,
    walk,
)
from bridge.cutover.shadow.records import RecordedRequest, RecordedResponse, all_of
from bridge.cutover.shadow.rules import NO_RULES, Rules


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs; `more` if that is not all of it.

    `truncated`: of at least one body only the beginning was compared. `how` says what the bodies
    were compared as: ``json``, ``text``, ``bytes``, or ``nothing``.
    """

    differences: tuple[Difference, ...] = ()
    more: bool = False
    truncated: bool = False
    how: str = "nothing"

    @property
    def equal(self) -> bool:
        """Whether nothing differs, as far as was compared."""
        return not self.differences and not self.more


def compare(
    request: RecordedRequest,
    old: RecordedResponse,
    new: RecordedResponse,
    rules: Rules = NO_RULES,
    noise: frozenset[str] = frozenset(),
    fields: Iterable[str] = (),
    most_decoded: int = MOST_DECODED,
) -> Comparison:
    """Compare what both sides answered to `request`.

    `noise` are patterns of what may differ as well (`Noise`); `fields` names more fields to
    compare, in lower case. A compressed body is compared as far as `most_decoded` bytes of it go.
    """
    heads = [
        each
        for each in compare_heads(request, old, new, rules, fields)
        if not _is_noise(each.pattern, noise)
    ][:MOST_TOLD]
    bodiless = request.method == "HEAD" or old.error or new.error or both_redirect(old, new)
    if rules.body or bodiless:
        return Comparison(tuple(heads))
    most = 0 if _as_sent(old) == _as_sent(new) else most_decoded  # there is nothing to undo
    one, other = body_of(old, most), body_of(new, most)
    truncated = one.truncated or other.truncated
    how, bodies, more = _compare_bodies(one, other, rules, noise)
    return Comparison((*heads, *bodies), more, truncated, how)


def _as_sent(response: RecordedResponse) -> tuple[bytes, bool, list[str]]:
    return response.body, response.truncated, all_of(response.headers, "content-encoding")


def _is_noise(pattern: str, noise: frozenset[str]) -> bool:
    return bool(noise) and (pattern in noise or pattern.partition(" ")[0] in noise)


def _compare_bodies(
    old: Body, new: Body, rules: Rules, noise: frozenset[str]
) -> tuple[str, list[Difference], bool]:
    if not old.data and not new.data:
        return "nothing", [], False
    if "body" in noise:
        return "bytes", [], False
    if not old.data or not new.data:
        return "bytes", _only_one(old, new), False
    if old.unread or new.unread:
        return "bytes", compare_bytes(old, new), False
    if old.data == new.data and old.truncated == new.truncated:
        return "json" if old.is_json else "text" if old.is_text else "bytes", [], False
    if old.is_json or new.is_json:
        try:
            return "json", *_compare_json(old, new, rules, noise)
        except ValueError:  # it is none, so it is text, whatever it says
            pass
    if old.is_text or new.is_text:
        words = words_of(old, rules.texts), words_of(new, rules.texts)
        return "text", *compare_words(*words, old.truncated, new.truncated, noise)
    return "bytes", compare_bytes(old, new), False


def _only_one(old: Body, new: Body) -> list[Difference]:
    if old.data:
        return [] if new.truncated else [_whole(old, "missing")]
    return [] if old.truncated else [_whole(new, "added")]


def _whole(body: Body, kind: str) -> Difference:
    size = f"{len(body.data)} bytes"
    return Difference("body", "body", kind, *((size, "") if kind == "missing" else ("", size)))


def _compare_json(
    old: Body, new: Body, rules: Rules, noise: frozenset[str]
) -> tuple[list[Difference], bool]:
    """Compare by structure; what was cut is compared up to its last whole value."""
    (one, open_in_old), (other, open_in_new) = _read(old), _read(new)

    def allowed(path: Path, kind: str, old: Any, new: Any) -> bool:
        above = path[:-1]
        if kind == "missing" and above in open_in_new:
            return True  # it may come after the cut
        if kind == "added" and above in open_in_old:
            return True
        return rules.allow_json(path, kind, old, new) or _covered(path, noise)

    return walk(one, other, allowed)


def _read(body: Body) -> tuple[Any, frozenset[Path]]:
    """Return what JSON says, and the places at which it was cut. Raises `ValueError`."""
    if not body.truncated:
        return read_json(body.data), frozenset()
    whole, places = mended(body.data)
    return read_json(whole), places


def _covered(path: Path, noise: frozenset[str]) -> bool:
    """Whether a place in JSON, or one above it, is noise."""
    if not noise:
        return False
    return any(pattern_of(path[:length]) in noise for length in range(len(path) + 1))
