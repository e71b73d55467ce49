"""Where an app is mounted, and what is left of a path below that place (W3, D1, D8).

The one rule for the server, both adapters and the dispatcher, for ASGI's ``root_path`` and for
``SCRIPT_NAME``: ``/api/``, ``/api`` and ``api`` are the same place, and a place ends where a
segment does, so that ``/api`` is not above ``/apiary``.

Text is decoded (ASGI) or native (PEP 3333); the rule is the same.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

#: What stands for itself in a path, besides letters, digits and ``-._~`` (RFC 3986 §3.3).
PATH_CHARACTERS: Final = "/:@!$&'()*+,;="
_ENCODED = re.compile(rb"%[0-9A-Fa-f]{2}")


def mount_point(root_path: str) -> str:
    """A mount point as it is compared and passed on: ``/api``, and ``""`` for the whole site."""
    name = root_path.strip("/")
    return f"/{name}" if name else ""


def strip_prefix(path: str, root_path: str) -> tuple[str, str]:
    """The place that `root_path` names, and what is left of `path` below it.

    A path that is elsewhere is left whole: some hosts know their place from a setting only, and a
    proxy has taken it off the path. Others have glued the two together as they came.
    """
    root = mount_point(root_path)
    if path.startswith(root):
        rest = path[len(root) :]
        if root_path != root and rest.startswith("//") and path.startswith(root_path):
            return root, path[len(root_path) :]  # "/api/" + "/x"
        if not rest or rest[0] == "/":
            return root, rest
    elif root_path != root and path.startswith(root_path + "/"):
        return root, path[len(root_path) :]  # "api" + "/x"
    return root, path


def without_root(path: str, raw_path: bytes | None, root_path: str) -> tuple[str, bytes | None]:
    """A path without the place of its app, for apps that do not know ``root_path`` (D9).

    The place itself is ``/`` then. `raw_path` is the same path as it was sent; one that does not
    begin with the place is left as it is.
    """
    root, rest = strip_prefix(path, root_path)
    if raw_path is not None and rest != path:
        end = _end_of(root.encode(), raw_path)
        if unquote_to_bytes(raw_path[:end]) == root.encode():
            after = _end_of(b"/", raw_path[end:])  # a slash that may be encoded
            raw_path = b"/" + raw_path[end + after :]
    return rest or "/", raw_path


def _end_of(decoded: bytes, raw_path: bytes) -> int:
    """Where in `raw_path` as many bytes end as `decoded` has."""
    end = 0
    for _ in decoded:
        end += 3 if _ENCODED.match(raw_path, end) else 1
    return end


# ------------------------------------------------------------- native text (PEP 3333)


def split_path(path: str, raw_path: bytes | None, root_path: str) -> tuple[str, str]:
    """``SCRIPT_NAME`` and ``PATH_INFO`` as native text (W2, W3).

    `path` is the decoded path, `raw_path` the same as sent (percent-encoded) if it is known,
    `root_path` where the app is mounted. A path outside `root_path` is passed on whole.
    """
    given = native_str(root_path) if root_path else ""
    root = mount_point(given)
    if path == "*":  # `OPTIONS *` asks for the server as a whole, not for a path (RFC 9110 §7.1)
        return root, ""
    if path.isascii():
        info = path
    else:
        info = _from_raw_path(path, raw_path, root) if raw_path else native_str(path)
    return strip_prefix(info, given) if given else ("", info)


def split_native_path(path: str, root_path: str, prefix: str) -> tuple[str, str]:
    """`split_path` for native text below the server's own `root_path` and a mount's `prefix`.

    What the proxy before the server took off the path is put back.
    """
    raw = path.encode("latin-1").decode("utf-8", "surrogateescape")
    if path != "*":
        raw = "".join(strip_prefix(raw, root_path))
    return split_path(raw, None, root_path + prefix)


def native_str(text: str) -> str:
    """Decoded text as native text: the bytes of its UTF-8, one character each (W2)."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        return text.encode("utf-8", "replace").decode("latin-1")


def _from_raw_path(path: str, raw_path: bytes, root: str) -> str:
    """Return `path` as native text, taken from `raw_path` if the two agree.

    A host decodes a path as UTF-8 and loses bytes that are none. `raw_path` still has them, but
    may be of another path: a middleware may have rewritten `path` alone. Some hosts put
    `root_path` into `path` only.
    """
    sent = unquote_to_bytes(raw_path.partition(b"?")[0])
    for prefix in ("", root) if root else ("",):
        whole = prefix.encode("latin-1") + sent
        if path in (whole.decode("utf-8", "replace"), whole.decode("utf-8", "surrogateescape")):
            return whole.decode("latin-1")
    return native_str(path)
