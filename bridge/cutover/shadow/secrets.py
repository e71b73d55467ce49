"""What must not be written down: which names belong to secrets, and texts without them (M12).

A secret is known by its name: of a field, of a cookie, of a key in JSON, a form or a query. In text
it is known by its looks: a long word of letters and digits that nobody would type.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import unquote_plus

from bridge.cutover.shadow.records import Fields, first

#: What stands in the place of a secret.
BLACK: Final = "***"
#: The most of JSON that is looked through for secrets; what is deeper is blacked out.
_DEPTH: Final = 100

_SECRET: Final = re.compile(
    r"passw|passphrase|pwd|secret|token|credential|api[-_]?key|access[-_]?key|private[-_]?key"
    r"|auth(?!or(?!iz))|session[-_]?(?:id|key)|^sid$|csrf|xsrf|otp$|^pin$|cvv|cvc|card[-_]?number"
    r"|signature|jwt|bearer|cookie",
    re.IGNORECASE,
)
#: A word as tokens are: 20 characters or more, with digits and letters.
_OPAQUE: Final = re.compile(r"(?=[\w+/=.~-]*\d)(?=[\w+/=.~-]*[A-Za-z])[\w+/=.~-]{20,}")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]*(?= )")


def is_secret(name: str) -> bool:
    """Whether what is called `name` must not be written down."""
    return _SECRET.search(name) is not None


def blacked_fields(headers: Fields) -> Fields:
    """Return `headers` without secret values; names of cookies, and schemes of log-ins, stay."""
    return tuple((name, _field(name, value)) for name, value in headers)


def _field(name: str, value: str) -> str:
    if name == "cookie":
        return "; ".join(f"{each.partition('=')[0].strip()}={BLACK}" for each in value.split(";"))
    if name == "set-cookie":
        pair, *attributes = value.split(";")
        return ";".join([f"{pair.partition('=')[0].strip()}={BLACK}", *attributes])
    if name in ("location", "referer", "content-location", "refresh"):
        return blacked_url(value)
    if is_secret(name):
        scheme = _SCHEME.match(value) if "authorization" in name else None
        return f"{scheme[0]} {BLACK}" if scheme else BLACK
    return value


def blacked_url(url: str) -> str:
    """Return `url` without a password, and without the values of secret keys in its query."""
    url, hash_mark, fragment = url.partition("#")
    head, mark, query = url.partition("?")
    head = re.sub(r"^((?:[a-z][a-z0-9+.-]*:)?//)[^/@]*@", rf"\1{BLACK}@", head, flags=re.IGNORECASE)
    return f"{head}{mark}{blacked_form(query)}{hash_mark}{blacked_form(fragment)}"


def blacked_form(form: str) -> str:
    """Return a form or query, ``key=value&...``, without the values of secret keys."""
    if "=" not in form:
        return form
    return "&".join(map(_blacked_pair, form.split("&")))


def _blacked_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}={BLACK}" if equals and is_secret(unquote_plus(name)) else pair


def blacked_text(text: str) -> str:
    """Return `text` without long words that look like tokens."""
    return _OPAQUE.sub(lambda word: f"{word[0][:4]}{BLACK}", text)


def blacked_json(value: Any, depth: int = 0) -> Any:
    """Return what was read from JSON without the values of secret keys."""
    if isinstance(value, (dict, list)) and depth >= _DEPTH:
        return BLACK
    if isinstance(value, dict):
        return {
            key: BLACK if is_secret(key) else blacked_json(each, depth + 1)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [blacked_json(each, depth + 1) for each in value]
    return value


def blacked_body(headers: Fields, body: bytes) -> bytes | None:
    """Return a request's body without secrets; None if it cannot be told what is in it."""
    if not body:
        return body
    kind = (first(headers, "content-type") or "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return blacked_form(body.decode("latin-1")).encode("latin-1")
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return json.dumps(blacked_json(json.loads(body))).encode()
        except (ValueError, RecursionError):
            return None
    return None
