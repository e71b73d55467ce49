"""What `asgi-bridge` says if it is told nothing, and what to add if no app is named (O9)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # a server need not load it
    from bridge.server.commands.help.obvious import Found

_NAME: Final = "myapp:app"
_ABOUT_NAME: Final = (
    f"Write yours for {_NAME}: the module (a file myapp.py), a colon, and the app's name in it."
)
#: The most apps that are named.
_MOST: Final = 3


def text(directory: Path) -> str:
    """Return three commands to copy, for what `directory` plainly holds, and where more is."""
    from bridge.server.commands.help.obvious import find

    found = find(directory)[:_MOST]
    app = found[0].words if found else _NAME
    commands = {
        f"asgi-bridge serve {app}": "serve it at http://127.0.0.1:8000",
        f"asgi-bridge check {app}": "say what of it works here, and what does not",
        f"asgi-bridge serve {app} --workers auto": "serve it in a process for each processor",
    }
    width = max(map(len, commands))
    seen = [f"  {each.file} has {each.kind}: {each.words}" for each in found]
    return "\n".join(
        [
            "asgi-bridge serves any Python web app: WSGI or ASGI, one or many, old beside new.",
            "",
            *(["Seen in this directory (nothing was imported):", *seen, ""] if seen else []),
            "To begin, copy one of these:",
            *(f"  {command:{width}}  {about}" for command, about in commands.items()),
            "",
            *([] if seen else [_ABOUT_NAME]),
            "More: asgi-bridge --help, and asgi-bridge serve --help",
        ]
    )


def missing_app(command: str, directory: Path) -> str:
    """Return what to say if `command` needs an app, and none is named."""
    from bridge.server.commands.help.obvious import find

    found = find(directory)[:_MOST]
    if not found:
        return "no app is named; say module:attr, or --mount PATH=module:attr"
    shown = " or ".join(_shown(each, command) for each in found)
    return f"no app is named; say module:attr, or --mount PATH=module:attr; seen here: {shown}"


def _shown(found: Found, command: str) -> str:
    return f"asgi-bridge {command} {found.words} ({found.kind}, in {found.file})"
