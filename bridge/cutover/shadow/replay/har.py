"""HAR, the format in which browsers and proxies export what they have sent (M13). Pure.

Read are `log.entries[*].request`, and of the rest only what tells a WebSocket. The fields of HTTP/2
and 3 that begin with a colon are no fields of a request, and are left out.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from bridge.cutover.shadow.records import RecordedRequest, as_fields, first
from bridge.cutover.shadow.replay.recording import BrokenEntry, decoded

#: What may stand in a target as it is; browsers write addresses with more than that in them.
_PLAIN = "!#$%&'()*+,/:;=?@[]~-._"


def entries_of(har: dict[str, Any]) -> list[Any] | None:
    """Return the entries of a HAR; None if it is none."""
    log = har.get("log")
    entries = log.get("entries") if isinstance(log, dict) else None
    return entries if isinstance(entries, list) else None


def is_websocket(entry: object) -> bool:
    """Whether an entry is a WebSocket, which cannot be asked again."""
    if not isinstance(entry, dict):
        return False
    request, response = entry.get("request"), entry.get("response")
    url = request.get("url") if isinstance(request, dict) else None
    return (
        entry.get("_resourceType") == "websocket"
        or (isinstance(url, str) and url.lower().startswith(("ws:", "wss:")))
        or (isinstance(response, dict) and response.get("status") == 101)
    )


def request_from(entry: object) -> RecordedRequest:
    """Return the request of an entry. Raises `BrokenEntry`."""
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict):
        raise BrokenEntry("it has no request")
    method, url = request.get("method"), request.get("url")
    if not isinstance(method, str) or not method or not isinstance(url, str):
        raise BrokenEntry("its request has no method or no url")
    try:
        place = urlsplit(url)
    except ValueError as error:
        raise BrokenEntry(f"its url is none: {error}") from None
    if place.scheme not in ("http", "https") or not place.netloc:
        raise BrokenEntry(f"its url is {url[:80]!r}, and not one of http or https")
    headers = as_fields(_pair(each) for each in _list(request, "headers"))
    headers = tuple((name, value) for name, value in headers if not name.startswith(":"))
    if first(headers, "host") is None:  # HTTP/2 has it as :authority
        headers = (("host", place.netloc.rpartition("@")[2]), *headers)
    body = _body(request.get("postData"), first(headers, "content-type"))
    return RecordedRequest(
        method.upper(),
        quote(place.path or "/", safe=_PLAIN),
        quote(place.query, safe=_PLAIN),
        headers,
        body,
        scheme=place.scheme,
    )


def _list(request: dict[str, Any], name: str) -> list[Any]:
    found = request.get(name, [])
    if not isinstance(found, list):
        raise BrokenEntry(f"its {name} are no list")
    return found


def _pair(each: object) -> tuple[str, str]:
    name = each.get("name") if isinstance(each, dict) else None
    value = each.get("value") if isinstance(each, dict) else None
    if not isinstance(name, str) or not isinstance(value, str):
        raise BrokenEntry("one of its headers or params has no name or no value")
    return name, value


def _body(data: object, kind: str | None) -> bytes:
    """Return the body: `text`, also in base64, or a form made of its `params`."""
    if data is None:
        return b""
    if not isinstance(data, dict):
        raise BrokenEntry("its postData is no object")
    text = data.get("text")
    if isinstance(text, str) and text:
        if "base64" in (data.get("encoding"), data.get("_encoding")):
            return decoded(text)
        return text.encode("utf-8", "surrogatepass")
    params = _list(data, "params")
    if not params:
        return b""
    if "multipart" in (kind or data.get("mimeType") or ""):
        raise BrokenEntry("its body is a form in parts, which is not in the file")
    return urlencode([_pair(each) for each in params]).encode()
