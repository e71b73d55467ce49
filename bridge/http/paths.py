"""Mount points, and the part of a path that is left below one (W3, D1, D8).

The server, both adapters and the dispatcher share this one rule, for ASGI's ``root_path`` and for
``SCRIPT_NAME``: ``/api/``, ``/api`` and ``api`` are the same mount point, and a prefix is cut at a
segment boundary only, so ``/api`` is not a prefix of ``/apiary``.

Text may be decoded (ASGI) or native (PEP 3333); the rule is the same.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

#: Characters that need no percent-encoding in a path, besides letters, digits and ``-._~``
#: (RFC 3986 §3.3).
PATH_CHARACTERS: Final = "/:@!$&'()*+,;="
_ENCODED = re.compile(rb"%[0-9A-Fa-f]{2}")


def mount_point(root_path: str) -> str:
    """Normalize a mount point: ``/api``, or ``""`` for the whole site."""
    name = root_path.strip("/")
    return f"/{name}" if name else ""


def strip_prefix(path: str, root_path: str) -> tuple[str, str]:
    """Split `path` into the normalized `root_path` and the rest below it.

    A path that does not begin with the prefix is returned whole: some hosts know their prefix from
    a setting only, and a proxy has already removed it. Other hosts have joined the two as they
    were, with a slash too many or too few; that is understood too.
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
    """Remove the mount point from a path, for apps that do not know ``root_path`` (D9).

    The mount point itself becomes ``/``. `raw_path` is the same path as it was sent; if it does not
    begin with the mount point it is left as it is.
    """
    root, rest = strip_prefix(path, root_path)
    if raw_path is not None and rest != path:
        end = _end_of(root.encode(), raw_path)
        if unquote_to_bytes(raw_path[:end]) == root.encode():
            after = _end_of(b"/", raw_path[end:])  # a slash that may be encoded
            raw_path = b"/" + raw_path[end + after :]
    return rest or "/", raw_path


def _end_of(decoded: bytes, raw_path: bytes) -> int:
    """Return the offset in `raw_path` at which as many decoded bytes end as `decoded` has."""
    end = 0
    for _ in decoded:
        end += 3 if _ENCODED.match(raw_path, end) else 1
    return end


# ------------------------------------------------------------- native text (PEP 3333)


def split_path(path: str, raw_path: bytes | None, root_path: str) -> tuple[str, str]:
    """Return ``SCRIPT_NAME`` and ``PATH_INFO`` as native text (W2, W3).

    `path` is the decoded path, `raw_path` the same path as sent (percent-encoded) if it is known,
    `root_path` the mount point. A path outside `root_path` is passed on whole.
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
    """Do as `split_path`, for native text below the server's `root_path` and a mount's `prefix`.

    If the proxy in front has removed `root_path` from the path, it is put back.
    """
    if path.isascii() and path != "*" and not root_path:
        return strip_prefix(path, native_str(prefix))
    raw = path.encode("latin-1").decode("utf-8", "surrogateescape")
    if path != "*":
        raw = "".join(strip_prefix(raw, root_path))
    return split_path(raw, None, root_path + prefix)


def native_str(text: str) -> str:
    """Convert decoded text to native text: one character for each byte of its UTF-8 (W2)."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        return text.encode("utf-8", "replace").decode("latin-1")


def _from_raw_path(path: str, raw_path: bytes, root: str) -> str:
    """Return `path` as native text, taken from `raw_path` if the two agree.

    A host decodes a path as UTF-8, and loses the bytes that are not UTF-8. `raw_path` still has
    them, but may be out of date: a middleware may have rewritten `path` alone. Some hosts put
    `root_path` into `path` only.
    """
    sent = unquote_to_bytes(raw_path.partition(b"?")[0])
    for prefix in ("", root) if root else ("",):
        whole = prefix.encode("latin-1") + sent
        if path in (whole.decode("utf-8", "replace"), whole.decode("utf-8", "surrogateescape")):
            return whole.decode("latin-1")
    return native_str(path)
