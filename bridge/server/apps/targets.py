"""Parse the name of an app: ``module:attr``, or ``module:function("argument")`` (S62).

A call has literal arguments only, as with Gunicorn: text, numbers, True, None, and lists and the
like of them. Nothing here imports or calls anything.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.arguments.kinds import KINDS
from bridge.errors import AppLoadError


@dataclass(frozen=True)
class CallArguments:
    """The arguments with which the named function is to be called."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class Target:
    """What the name of an app says."""

    module: str
    #: With dots between them; empty: the module alone is named.
    attributes: str
    #: None: nothing is to be called.
    call: CallArguments | None


def parse_target(text: str) -> Target:
    """Parse `text`. Raises `AppLoadError` that says how it is written."""
    named, parenthesis, _ = text.partition("(")
    module, colon, attributes = named.partition(":")
    if not module or (colon and not attributes):
        raise AppLoadError(f"{text!r} names no app; say module:attr, such as main:app")
    if module.endswith(".py") or "/" in module:
        raise AppLoadError(
            f"{module!r} is a file; name the module instead, such as "
            f"{_of_file(Path(module), attributes)}"
        )
    if ":" in attributes:
        kind = f", and the kind with --interface {module}" if module in KINDS else ""
        raise AppLoadError(f"{text!r} has two colons; say module:attr{kind}")
    if parenthesis and not colon:
        raise AppLoadError(f"{text!r} names no module; say module:function()")
    return Target(module, attributes, _parse_call(text, module) if parenthesis else None)


def _of_file(file: Path, attributes: str) -> str:
    """Say what to name in place of a file."""
    if file.name == "manage.py" and not attributes:
        return "mysite.wsgi, if the project's wsgi.py is mysite/wsgi.py"
    where = "" if file.parent == Path() else f", with --app-dir {file.parent}"
    return f"{file.stem}:{attributes or 'app'}{where}"


def _parse_call(text: str, module: str) -> CallArguments:
    """Parse the arguments in `text`, a call of something in `module`. Raises `AppLoadError`."""
    malformed = AppLoadError(
        f"{text!r} is no call that can be read; say module:function() or "
        'module:function("argument", number=1), with text, numbers and other literals only'
    )
    try:
        node = ast.parse(text[len(module) + 1 :].strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise malformed from None
    if not isinstance(node, ast.Call) or any(each.arg is None for each in node.keywords):
        raise malformed
    try:
        args = tuple(ast.literal_eval(each) for each in node.args)
        kwargs = {str(each.arg): ast.literal_eval(each.value) for each in node.keywords}
    except (ValueError, TypeError, SyntaxError):
        raise malformed from None
    if "(" in ast.unparse(node.func):  # what a call returns is called
        raise malformed
    return CallArguments(args, kwargs)
