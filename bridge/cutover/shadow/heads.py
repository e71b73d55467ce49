"""Heads compared: the status, and the fields that a client acts upon (M11). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import urljoin, urlsplit

from bridge.cutover.shadow.bodies import content_type
from bridge.cutover.shadow.json_walk import SHOWN, Difference
from bridge.cutover.shadow.records import RecordedRequest, RecordedResponse, all_of, first
from bridge.cutover.shadow.rules import Rules
from bridge.cutover.shadow.secrets import blacked_fields, blacked_url

#: Attributes of cookies that are compared by their values.
_VALUES: Final = ("path", "domain", "samesite", "max-age")
#: Attributes that are there or not.
_FLAGS: Final = ("secure", "httponly", "partitioned")
_NOT_SET: Final = "not set"


def compare_heads(
    request: RecordedRequest,
    old: RecordedResponse,
    new: RecordedResponse,
    rules: Rules,
    fields: Iterable[str] = (),
) -> Iterator[Difference]:
    """Yield the differences of status, Content-Type, Location, Set-Cookie and `fields`."""
    if old.error is not None or new.error is not None:
        if old.error != new.error:
            yield _difference("error", _outcome(old), _outcome(new))
        return
    if old.status != new.status and (old.status, new.status) not in rules.statuses:
        yield _difference("status", str(old.status), str(new.status))
    if "content-type" not in rules.headers and not both_redirect(old, new):
        yield from _differing("header:content-type", _type(old), _type(new))
    if "location" not in rules.headers:
        yield from _differing("header:location", _location(request, old), _location(request, new))
    for name in fields:
        if name not in rules.headers and name not in ("content-type", "location", "set-cookie"):
            yield from _differing(f"header:{name}", _field(old, name), _field(new, name))
    if "set-cookie" not in rules.headers:
        yield from _compare_cookies(old, new, rules)


_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


def both_redirect(old: RecordedResponse, new: RecordedResponse) -> bool:
    """Whether both send the client elsewhere: then nobody sees their bodies."""
    return all(
        side.status in _REDIRECTS and first(side.headers, "location") is not None
        for side in (old, new)
    )


def _outcome(response: RecordedResponse) -> str:
    return str(response.status) if response.error is None else response.error[:SHOWN]


def _differing(place: str, old: str | None, new: str | None) -> Iterator[Difference]:
    if old != new:
        yield _difference(place, old, new)


def _difference(place: str, old: str | None, new: str | None) -> Difference:
    kind = "missing" if new is None else "added" if old is None else "value"
    return Difference(place, place, kind, _short(old), _short(new))


def _short(text: str | None) -> str:
    text = blacked_url(text or "")
    return text if len(text) <= 2 * SHOWN else f"{text[: 2 * SHOWN]}..."


def _type(response: RecordedResponse) -> str | None:
    """Return the media type and the charset; JSON is UTF-8 if nothing is said."""
    value = first(response.headers, "content-type")
    if value is None:
        return None
    media_type, charset = content_type(value)
    if charset is None or (charset == "utf-8" and media_type.endswith("json")):
        return media_type
    return f"{media_type}; charset={charset}"


def _location(request: RecordedRequest, response: RecordedResponse) -> str | None:
    """Return the Location as it is for a client of this request."""
    value = first(response.headers, "location")
    if value is None:
        return None
    try:
        place = urlsplit(urljoin(f"{request.base}{request.path}", value.strip()))
    except ValueError:  # such as http://[
        return value
    host = place.netloc.lower()
    usual = {"http": ":80", "https": ":443"}.get(place.scheme)
    if usual:
        host = host.removesuffix(usual)
    return place._replace(netloc=host, path=place.path or "/").geturl()


def _field(response: RecordedResponse, name: str) -> str | None:
    values = [value for _, value in blacked_fields(_named(response, name))]
    return ", ".join(value.strip() for value in values) if values else None


def _named(response: RecordedResponse, name: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for value in all_of(response.headers, name))


# ------------------------------------------------------------- cookies


def _compare_cookies(
    old: RecordedResponse, new: RecordedResponse, rules: Rules
) -> Iterator[Difference]:
    """Yield what differs in names and attributes; values are not looked at."""
    one, other = _cookies(old), _cookies(new)
    for name in sorted(one.keys() | other.keys()):
        if rules.allow_cookie(name):
            continue
        place = f"cookie:{name[:SHOWN]}"
        if name not in one or name not in other:
            shown = [None if name not in side else "set" for side in (one, other)]
            yield _difference(place, *shown)
            continue
        for attribute, value in one[name].items():
            theirs = other[name][attribute]
            if attribute == "max-age" and _NOT_SET in (value, theirs):
                continue  # Expires may say the same, and `lasts` whether it does
            if value != theirs:
                yield _difference(f"{place} {attribute}", value, theirs)


def _cookies(response: RecordedResponse) -> dict[str, dict[str, str]]:
    """Return the attributes of each cookie that is set; of one name, the last counts."""
    found: dict[str, dict[str, str]] = {}
    for value in all_of(response.headers, "set-cookie"):
        pair, *rest = value.split(";")
        given: dict[str, str] = {}
        for attribute in rest:
            key, _, content = attribute.partition("=")
            given[key.strip().lower()] = content.strip()
        found[pair.partition("=")[0].strip()] = _attributes(given)
    return found


def _attributes(given: dict[str, str]) -> dict[str, str]:
    attributes = {name: given.get(name, _NOT_SET).lower() for name in _VALUES}
    attributes["path"] = given.get("path", _NOT_SET)
    attributes["domain"] = attributes["domain"].removeprefix(".")
    attributes |= {name: "yes" if name in given else "no" for name in _FLAGS}
    attributes["lasts"] = _lasting(given)
    return attributes


def _lasting(given: dict[str, str]) -> str:
    """Return how long a cookie lasts: for good, until the browser ends, or not at all."""
    if "max-age" in given:
        return "deleted" if re.fullmatch(r"-\d+|0+", given["max-age"]) else "yes"
    if "expires" in given:
        return "deleted" if re.search(r"\b19\d\d\b|-70\b", given["expires"]) else "yes"
    return "for the session"
