"""Where an app is mounted, and what is left of a path below that place (W3, D1, D8).

The one rule for the server, both adapters and the dispatcher, for ASGI's ``root_path`` and for
``SCRIPT_NAME``: ``/api/``, ``/api`` and ``api`` are the same place, and a place ends where a
segment does, so that ``/api`` is not above ``/apiary``.

Text is decoded (ASGI) or native (PEP 3333); the rule is the same.
"""

from __future__ import annotations


def place(root_path: str) -> str:
    """A mount point as it is compared and passed on: ``/api``, and ``""`` for the whole site."""
    name = root_path.strip("/")
    return f"/{name}" if name else ""


def split(path: str, root_path: str) -> tuple[str, str]:
    """The place that `root_path` names, and what is left of `path` below it.

    A path that is elsewhere is left whole: some hosts know their place from a setting only, and a
    proxy has taken it off the path. Others have glued the two together as they came.
    """
    root = place(root_path)
    if path.startswith(root):
        rest = path[len(root) :]
        if root_path != root and rest.startswith("//") and path.startswith(root_path):
            return root, path[len(root_path) :]  # "/api/" + "/x"
        if not rest or rest[0] == "/":
            return root, rest
    elif root_path != root and path.startswith(root_path + "/"):
        return root, path[len(root_path) :]  # "api" + "/x"
    return root, path
