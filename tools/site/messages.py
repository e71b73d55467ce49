"""docs/reference/messages.md: every line that the log may have, with a name and what to do.

The names and the advice are in messages.toml, each for one text or more, as they stand in the code
with `...` for what is filled in. A call that only passes on a text of others is named by its file.
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
is allowed, what to do. The types of errors are on the page of [public names](names.md#errors), and
what clients get is on [what you can rely on](behaviour.md). `--log-level debug` shows more than is
listed here.
"""

_LEVELS = ("info", "warning", "error", "exception", "critical", "log")
_FILLED_IN = re.compile(r"%[-+ #0]*[\d.]*[srdgf]")


class Line(NamedTuple):
    """A call that logs: its text, or the path of its file; and its level, `""` if that varies."""

    text: str
    level: str
    where: str


def in_code(folder: Path) -> list[Line]:
    """Every call below a folder that logs from level info on, and each report of a supervisor."""
    return [
        Line(_text(text, module.path), level, f"{module.path}:{text.lineno}")
        for module in read(folder)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        for level, text in _logged(node, node.func)
    ]


def _logged(call: ast.Call, function: ast.Attribute) -> Iterator[tuple[str, ast.expr]]:
    """The level and the text of a call, if it logs."""
    on, method = ast.unparse(function.value), function.attr
    if "log" in on and method in _LEVELS and not on.endswith("logging"):
        if method == "log":
            yield _level(call.args[0]), call.args[1]
        else:
            yield "error" if method == "exception" else method, call.args[0]
    elif method == "report" and on.endswith("roster"):
        yield _level(call.args[0]), call.args[1]


def _level(given: ast.expr) -> str:
    return given.attr.lower() if isinstance(given, ast.Attribute) else ""


def _text(given: ast.expr, path: str) -> str:
    parts = given.values if isinstance(given, ast.JoinedStr) else [given]
    text = "".join(
        _FILLED_IN.sub("...", part.value).replace("%%", "%")
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
        else "..."
        for part in parts
    )
    return text if re.search("[a-z]", text) else path


def table() -> dict[str, dict[str, tuple[list[str], str]]]:
    """Heading -> name of a line -> its texts, and what to do."""
    sections = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {
        title: {name: (each["lines"], each["advice"]) for name, each in lines.items()}
        for title, lines in sections.items()
    }


def problems(lines: list[Line]) -> list[str]:
    """Lines of the code that have no name, and texts that have two."""
    named = [text for names in table().values() for texts, _ in names.values() for text in texts]
    return [
        *(
            f"{line.where} logs {line.text!r}; give that a name in tools/site/{TABLE.name}"
            for line in lines
            if line.text not in named
        ),
        *(f"{TABLE.name} names {text!r} twice" for text in {*named} if named.count(text) > 1),
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
            logged = [text for text in texts if text in levels]
            level = ", ".join(sorted({each for text in logged for each in levels[text] if each}))
            shown = " or ".join(dict.fromkeys(_shown(text) for text in logged))
            if logged:
                parts.append(f"| `{name}` | {level or 'as it is told'} | {shown} | {advice} |\n")
    return "".join(parts)


def _shown(text: str) -> str:
    """A text in a cell; one that is passed on has no words of its own."""
    if text.endswith(".py"):
        return "`...`"
    cell = text.replace("|", "\\|").replace("\n", " ")
    return f"`` {cell} ``" if "`" in cell else f"`{cell}`"
