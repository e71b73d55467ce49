"""docs/reference/messages.md: every line that the log may have, with a name and what to do.

The names and the advice are in messages.toml, each for one text or more, as they stand in the code
with `...` for what is filled in. A call that only passes on a text of others is named by its place:
the file and the function.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools.modules import read

TABLE = Path(__file__).with_suffix(".toml")
HEAD = """\
# Lines of the log

<!-- Made from tools/site/messages.toml and the code by scripts/fix. -->

Every line that the log may have from level *info* on, beside those of apps and the access log,
with a name for it, and what to do. `...` stands for what is filled in. A line that only passes on
what is wrong, such as a wrong setting, is shown as `...` alone: its text says what was seen, what
is allowed, what to do; if it is an error of ours, it is on the page of [errors](errors.md). What
clients get is on [what you can rely on](behaviour.md). `--log-level debug` shows more than is
listed here.
"""

_LEVELS = ("info", "warning", "error", "exception", "critical", "log")
_PLACE = re.compile(r"bridge/[\w/]+\.py(:|$)")
_FILLED_IN = re.compile(r"%[-+ #0]*[\d.]*[srdgf]")


class Line(NamedTuple):
    """A call that logs: its text, or else its place; and its level, `""` if that varies."""

    text: str
    level: str
    where: str


def in_code(folder: Path) -> list[Line]:
    """Every call below a folder that logs from level info on, and each report of a supervisor."""
    return [
        Line(_text(text, call.scopes, module.path), level, f"{module.path}:{text.lineno}")
        for module in read(folder)
        for call in calls(module.tree)
        if isinstance(call.node.func, ast.Attribute)
        for level, text in _logged(call.node, call.node.func)
    ]


Scopes = tuple[ast.AST, ...]


class Call(NamedTuple):
    """A call, and what it stands in: the module, and the classes and functions below it."""

    node: ast.Call
    scopes: Scopes


def calls(tree: ast.Module) -> list[Call]:
    """Each call in a module, in the order of their lines."""
    found = []
    left: list[tuple[ast.AST, Scopes]] = [(tree, (tree,))]
    while left:
        node, scopes = left.pop()
        if isinstance(node, ast.Call):
            found.append(Call(node, scopes))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            scopes = (*scopes, node)
        left += [(child, scopes) for child in ast.iter_child_nodes(node)]
    return sorted(found, key=lambda call: (call.node.lineno, call.node.col_offset))


def _meant(name: str, scopes: Scopes) -> ast.expr | None:
    """The text that a name stands for, in the innermost scope that gives it one text only."""
    for scope in reversed(scopes):
        module = isinstance(scope, ast.Module)
        given = []
        for node in ast.iter_child_nodes(scope) if module else ast.walk(scope):
            match node:
                case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                    given.append(value)
                case ast.AnnAssign(target=ast.Name(id=found), value=ast.expr() as value):
                    given += [value] if found == name else []
        if given:
            is_one = len(given) == 1 and (_is_text(given[0]) or isinstance(given[0], ast.JoinedStr))
            return given[0] if is_one else None
    return None


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _logged(call: ast.Call, function: ast.Attribute) -> Iterator[tuple[str, ast.expr]]:
    """The level and the text of a call, if it logs."""
    on, method = ast.unparse(function.value), function.attr
    if "log" in on and method in _LEVELS and not on.endswith("logging"):
        if method == "log":
            yield _level(call.args[0]), _said(call.args[1:])
        else:
            yield "error" if method == "exception" else method, _said(call.args)
    elif method == "report" and on.endswith("roster"):
        yield _level(call.args[0]), call.args[1]


def _said(arguments: list[ast.expr]) -> ast.expr:
    """The text among the arguments of a call that logs: the second if the first is only `%s`."""
    match arguments:
        case [ast.Constant(value="%s"), text, *_]:
            return text
    return arguments[0]


def _level(given: ast.expr) -> str:
    return given.attr.lower() if isinstance(given, ast.Attribute) else ""


def _text(given: ast.expr, scopes: Scopes, path: str) -> str:
    """A text with `...` for what is filled in; the place of the call if it has no words."""
    text = _FILLED_IN.sub("...", words(given, scopes)).replace("%%", "%")
    names = [str(getattr(scope, "name", "")) for scope in scopes[1:]]
    return text if re.search("[a-z]", text) else ":".join(filter(None, [path, ".".join(names)]))


def words(given: ast.expr, scopes: Scopes) -> str:
    """The words of an expression, with `...` for what is filled in."""
    match given:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(words(part, scopes) for part in parts)
        case ast.FormattedValue(value=ast.Name() as name, conversion=-1, format_spec=None):
            return words(name, scopes)
        case ast.Name(id=name):
            meant = _meant(name, scopes)
            return "..." if meant is None else words(meant, scopes[:1])
    return "..."


def table() -> dict[str, dict[str, tuple[list[str], str]]]:
    """Heading -> name of a line -> its texts, and what to do."""
    sections = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {
        title: {name: (each["lines"], each["advice"]) for name, each in lines.items()}
        for title, lines in sections.items()
    }


def problems(lines: list[Line]) -> list[str]:
    """Lines of the code that have no name; texts that have two, and those that no code logs."""
    logged = {line.text for line in lines}
    named = [text for names in table().values() for texts, _ in names.values() for text in texts]
    return [
        *(
            f"{line.where} logs {line.text!r}; give that a name in tools/site/{TABLE.name}"
            for line in lines
            if line.text not in named
        ),
        *(f"{TABLE.name} names {text!r} twice" for text in {*named} if named.count(text) > 1),
        *(
            f"{TABLE.name} names {text!r}, which no code logs"
            for text in named
            if text not in logged
        ),
    ]


def render(lines: list[Line]) -> str:
    """The whole page."""
    levels: dict[str, set[str]] = {}
    for line in lines:
        levels.setdefault(line.text, set()).add(line.level)
    parts = [HEAD]
    for title, names in table().items():
        parts.append(f"\n## {title}\n\n| name | level | line | what to do |\n")
        parts.append("| --- | --- | --- | --- |\n")
        for name, (texts, advice) in names.items():
            level = ", ".join(
                sorted({each for text in texts for each in levels.get(text, ()) if each})
            )
            shown = " or ".join(dict.fromkeys(_shown(text) for text in texts))
            parts.append(f"| `{name}` | {level or 'as it is told'} | {shown} | {advice} |\n")
    return "".join(parts)


def _shown(text: str) -> str:
    """A text in a cell; one that is passed on has no words of its own."""
    if _PLACE.match(text):
        return "`...`"
    cell = text.replace("|", "\\|").replace("\n", " ")
    return f"`` {cell} ``" if "`" in cell else f"`{cell}`"
