"""Bodies made comparable: decoded, and as text or bytes compared (M11). Pure."""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from bridge.cutover.shadow.json_walk import MOST_TOLD, SHOWN, Difference
from bridge.cutover.shadow.records import RecordedResponse, all_of, first
from bridge.cutover.shadow.secrets import blacked_text

#: The most that a compressed body may become; the rest is cut, as a longer body would be.
MOST_DECODED: Final = 4 * 1024 * 1024
_MOST_ENCODINGS: Final = 3

#: Charsets that Python decodes slowly, and nobody sends.
_SLOW: Final = ("punycode", "idna")
_TEXT: Final = re.compile(
    r"text/.*|application/(?:xml|xhtml|javascript|ecmascript|x-javascript|graphql|x-ndjson|jsonl"
    r"|x-www-form-urlencoded|yaml|x-yaml|toml|sql)|.*\+(?:xml|yaml)"
)


@dataclass(frozen=True, slots=True)
class Body:
    """A body as the app meant it; `media_type` in lower case, `charset` as Python names it.

    `truncated`: it is only the beginning. `unread` is the coding that nobody here can undo.
    """

    data: bytes
    truncated: bool
    media_type: str
    charset: str | None
    unread: str | None = None

    @property
    def is_json(self) -> bool:
        """Whether its type says JSON."""
        return self.media_type == "application/json" or self.media_type.endswith("+json")

    @property
    def is_text(self) -> bool:
        """Whether its type says text, or JSON."""
        return self.is_json or _TEXT.fullmatch(self.media_type) is not None

    def text(self) -> str:
        """Return it as text; bytes that its charset does not have are replaced."""
        charset = "latin-1" if self.charset in _SLOW else self.charset or "utf-8"
        try:
            return self.data.decode(charset, "replace")
        except (LookupError, ValueError):  # such as hex, which is no text
            return self.data.decode("latin-1")


def content_type(value: str | None) -> tuple[str, str | None]:
    """Return the media type and the charset, as Python names it, that a Content-Type says."""
    media_type, *parameters = (value or "").split(";")
    media_type = media_type.strip().lower()
    for parameter in parameters:
        name, _, charset = parameter.partition("=")
        if name.strip().lower() == "charset":
            return media_type, charset_name(charset.strip().strip('"'))
    return media_type, None


def charset_name(charset: str) -> str:
    """Return one name for all names of a charset; one that is unknown as it is, in lower case."""
    try:
        return codecs.lookup(charset).name
    except (LookupError, ValueError):
        return charset.lower()


def body_of(response: RecordedResponse, most: int = MOST_DECODED) -> Body:
    """Return the body of a response, without its content codings as far as they can be undone.

    It becomes at most `most` bytes by that; with none, it is left as it was sent.
    """
    media_type, charset = content_type(first(response.headers, "content-type"))
    data, cut = response.body, response.truncated
    codings = [
        coding.strip().lower()
        for value in all_of(response.headers, "content-encoding")
        for coding in value.split(",")
        if coding.strip().lower() not in ("", "identity")
    ]
    for coding in reversed(codings) if data and most else ():
        decode = _CODINGS.get(coding)
        if decode is None or len(codings) > _MOST_ENCODINGS:
            return Body(data, cut, media_type, charset, unread=coding)
        try:
            data, more = decode(data, most)
        except zlib.error:
            return Body(data, cut, media_type, charset, unread=coding)
        cut = cut or more
    return Body(data, cut, media_type, charset)


def _gunzip(data: bytes, room: int) -> tuple[bytes, bool]:
    """Return what `data` was, and whether that is only its beginning; members are joined."""
    parts: list[bytes] = []
    while data:
        inflater = zlib.decompressobj(31)
        parts.append(inflater.decompress(data, room))
        room -= len(parts[-1])
        if not inflater.eof or room <= 0:
            return b"".join(parts), True
        data = inflater.unused_data.lstrip(b"\0")
    return b"".join(parts), False


def _inflate(data: bytes, most: int) -> tuple[bytes, bool]:
    try:
        inflater = zlib.decompressobj()
        found = inflater.decompress(data, most)
    except zlib.error:
        inflater = zlib.decompressobj(-15)  # many servers send it without its frame
        found = inflater.decompress(data, most)
    return found, not inflater.eof


_CODINGS: Final[dict[str, Callable[[bytes, int], tuple[bytes, bool]]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
}

# ------------------------------------------------------------- text


def words_of(body: Body, left_out: Iterable[re.Pattern[str]]) -> list[str]:
    """Return the words of a text, without what these expressions find in it.

    White space and ends of lines only part words. The last word of what was cut is left out: it
    may have been cut, too.
    """
    text = body.text()
    for expression in left_out:
        text = expression.sub("", text)
    words = text.split()
    return words[:-1] if body.truncated and not text[-1:].isspace() else words


def compare_words(
    old: list[str], new: list[str], old_cut: bool, new_cut: bool, noise: frozenset[str]
) -> tuple[list[Difference], bool]:
    """Return the differences of two texts, and whether there are more.

    As many words on both sides: each word that differs is told. Else only the first one is, as
    nothing says which words belong together.
    """
    if old == new or "text" in noise:
        return [], False
    common = min(len(old), len(new))
    told: list[Difference] = []
    ends = (len(old) > common and not new_cut) or (len(new) > common and not old_cut)
    most = 0 if ends else MOST_TOLD
    for at in range(common):
        if old[at] != new[at] and (place := f"text[{at}]") not in noise:
            if ends:
                told.append(Difference(place, "text", "value", _word(old[at]), _word(new[at])))
            elif len(told) < most:
                told.append(Difference(place, place, "value", *_apart(old[at], new[at])))
                continue
            return told, True
    if ends and len(old) > common:
        told.append(Difference(f"text[{common}]", "text", "missing", _word(old[common]), ""))
    elif ends:
        told.append(Difference(f"text[{common}]", "text", "added", "", _word(new[common])))
    return told, ends


def _apart(one: str, other: str) -> tuple[str, str]:
    """Return two words for people: if they are long, from a little before they differ."""
    at = _differ_at(one, other)
    begin, end = max(0, at - 5 * SHOWN), at + 5 * SHOWN
    one, other = blacked_text(one[begin:end]), blacked_text(other[begin:end])
    at = max(0, _differ_at(one, other) - 20) if one != other else 0
    return _word(one[at:]), _word(other[at:])


def _differ_at(one: str, other: str) -> int:
    return first_difference(one.encode("utf-32-le"), other.encode("utf-32-le")) // 4


def _word(word: str) -> str:
    word = blacked_text(word[: 5 * SHOWN])
    return word if len(word) <= SHOWN else f"{word[:SHOWN]}..."


# ------------------------------------------------------------- bytes


def first_difference(old: bytes, new: bytes) -> int:
    """Return the first offset at which they differ; the length of the shorter one if none."""
    low, high = 0, min(len(old), len(new))
    if old[:high] == new[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle
    return low


def compare_bytes(old: Body, new: Body) -> list[Difference]:
    """Return the difference of two bodies that are no text, if there is one."""
    at = first_difference(old.data, new.data)
    ends = len(old.data) == at and (old.truncated or len(new.data) == at)
    if ends or (len(new.data) == at and new.truncated):
        return []
    kind = "type" if old.unread != new.unread else "value"
    coding = old.unread or new.unread
    about = f", in {coding}, which cannot be read here" if coding else ""
    return [
        Difference(
            "body",
            "body",
            kind,
            f"{len(old.data)} bytes{about}",
            f"{len(new.data)} bytes, other from byte {at} on{about}",
        )
    ]
