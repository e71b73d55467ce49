"""What must not be written down: which names belong to secrets, and texts without them (M12).

A secret is known by its name: of a field, of a cookie, of a key in JSON, a form or a query. In text
it is known by its looks: a long word of letters and digits that nobody would type.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import quote, unquote_plus

from bridge.cutover.shadow.records import Fields, first

#: What stands in the place of a secret.
BLACK: Final = "***"
#: The most of JSON that is looked through for secrets; what is deeper is blacked out.
_DEPTH: Final = 100

_SECRET: Final = re.compile(
    r"passw|passphrase|pwd|secret|token|credential|api[-_]?key|access[-_]?key|private[-_]?key"
    r"|auth(?!or(?!iz))|session[-_]?(?:id|key)|^sid$|csrf|xsrf|otp$|^pin$|cvv|cvc|card[-_]?number"
    r"|signature|jwt|bearer|cookie|oidc|principal|assertion|client[-_]?cert",
    re.IGNORECASE,
)
#: A word as tokens are, if it has digits and letters.
_OPAQUE: Final = re.compile(r"[\w+/=.~-]{20,}+")
_DIGIT: Final = re.compile(r"\d")
_LETTER: Final = re.compile("[A-Za-z]")
#: Schemes of log-ins that may be written down; another first word may be the secret itself.
_SCHEMES: Final = frozenset(
    {"basic", "bearer", "digest", "dpop", "hawk", "negotiate", "ntlm", "signature", "token"}
)
#: Keys that are secret in a query; elsewhere they are states of orders and codes of errors.
_IN_QUERY: Final = frozenset({"code", "sig", "key", "nonce"})
#: One that often is: if it is as long as those of log-ins are.
_STATE: Final = "state"
_LONG_STATE: Final = 12
#: How many addresses within each other are looked through.
_NESTED: Final = 3

# Expressions for what clients and apps send: each takes time in proportion to the text.
_WORD: Final = re.compile(r"[\w~.-]++")
_RUN: Final = re.compile(r"[\w~.-]{20,}+")
_HEX: Final = re.compile(r"[0-9a-fA-F]{20,}+")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_USER: Final = re.compile(r"(://)[^/\s\"'<>]{1,200}@")
_PAIR: Final = re.compile(
    r"(?<![\w.%\[\]-])([\w.%\[\]-]{1,60}+)=([\"']?+)([^&\s\"'<>#;]++)", re.ASCII
)
_LOGIN: Final = re.compile(
    r"\b(bearer|(?:basic|token)(?= [\w+/.~-]{0,200}[\d=])) [\w+/=.~-]{6,}+", re.IGNORECASE
)


def is_secret(name: str) -> bool:
    """Whether what is called `name` must not be written down."""
    return _SECRET.search(name) is not None


def blacked_fields(headers: Fields) -> Fields:
    """Return `headers` without secret values; names of cookies, and schemes of log-ins, stay."""
    return tuple((name, _field(name, value)) for name, value in headers)


def _field(name: str, value: str) -> str:
    if name == "cookie":
        return "; ".join(map(_cookie, value.split(";")))
    if name == "set-cookie":
        pair, *attributes = value.split(";")
        return ";".join([_cookie(pair), *attributes])
    if is_secret(name):
        scheme, space, _ = value.partition(" ")
        is_scheme = "authorization" in name and scheme.lower() in _SCHEMES
        return f"{scheme} {BLACK}" if is_scheme and space else BLACK
    if name in ("location", "referer", "content-location") or name.endswith(("-url", "-uri")):
        return blacked_url(value)
    return blacked_pairs(value)


def _cookie(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name.strip()}={BLACK}" if equals else BLACK


def blacked_url(url: str, depth: int = 0) -> str:
    """Return `url` without a password, tokens in its path, and secret values in its query."""
    url, hash_mark, fragment = url.partition("#")
    head, mark, query = url.partition("?")
    head = re.sub(r"^((?:[a-z][a-z0-9+.-]*:)?//)[^/]*@", rf"\1{BLACK}@", head, flags=re.IGNORECASE)
    head = "/".join(BLACK if is_token(part) else part for part in head.split("/"))
    query, fragment = blacked_form(query, depth), blacked_form(fragment, depth)
    return f"{head}{mark}{query}{hash_mark}{fragment}"


def is_token(word: str) -> bool:
    """Whether a word looks like a token: long, of mixed letters and digits, or hex; no UUID."""
    if len(word) < 20 or not _WORD.fullmatch(word):
        return False
    if len(word) >= 100 or _HEX.fullmatch(word.rpartition("-")[2]):
        return True
    mixed = any(map(str.isdigit, word)) and word != word.lower() and word != word.upper()
    return mixed and _UUID.fullmatch(word) is None


def blacked_form(form: str, depth: int = 0) -> str:
    """Return a form or query, ``key=value&...``, without the values of secret keys."""
    if "=" not in form:
        return form
    return "&".join(_blacked_pair(pair, depth) for pair in form.split("&"))


def _blacked_pair(pair: str, depth: int = 0) -> str:
    name, equals, value = pair.partition("=")
    key = unquote_plus(name).strip().lower()
    if not equals:
        return pair
    if is_secret(key) or key in _IN_QUERY or (key == _STATE and len(value) >= _LONG_STATE):
        return f"{name}={BLACK}"
    inner = unquote_plus(value)
    if "?" not in inner and "://" not in inner and "=" not in inner:
        return f"{name}={BLACK}" if "%" in inner and depth >= _NESTED else pair
    if depth >= _NESTED:
        return f"{name}={BLACK}"
    safe = blacked_pairs(blacked_url(inner, depth + 1), depth + 1)
    if safe == inner:
        return pair
    return f"{name}={safe if inner == value else quote(safe, safe='*')}"


def blacked_pairs(text: str, depth: int = 0) -> str:
    """Return `text` without log-ins, passwords in addresses, and values of secret keys."""
    if "://" in text:
        text = _USER.sub(rf"\1{BLACK}@", text)
    if "=" in text:
        text = _PAIR.sub(lambda found: _blacked_match(found, depth), text)
    return _LOGIN.sub(rf"\1 {BLACK}", text)


def _blacked_match(found: re.Match[str], depth: int) -> str:
    name, mark, value = found.groups()
    if mark and name.lower() == "value":  # of an input: its name may be in another word
        is_number = value.isdecimal() or value.isalpha() or len(value) < 8
        return found[0] if is_number else f"{name}={mark}{BLACK}"
    return f"{name}={mark}{_blacked_pair(f'{name}={value}', depth).partition('=')[2]}"


def blacked_string(text: str) -> str:
    """Return a text in JSON, or a key, without secrets and without words that look like tokens."""
    return _RUN.sub(
        lambda word: f"{word[0][:4]}{BLACK}" if is_token(word[0]) else word[0], blacked_pairs(text)
    )


def blacked_text(text: str) -> str:
    """Return `text` without long words that look like tokens."""
    return _OPAQUE.sub(_blacked_word, blacked_pairs(text))


def _blacked_word(found: re.Match[str]) -> str:
    word = found[0]
    return f"{word[:4]}{BLACK}" if _DIGIT.search(word) and _LETTER.search(word) else word


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
    return blacked_pairs(value) if isinstance(value, str) else value


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
