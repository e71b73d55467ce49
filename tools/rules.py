"""Every promise has a test that names it, and every rule that a test names is promised.

Promises are the rows of docs/reference/behaviour.md, ``| W3 | what is promised | proof |``. Rules
are named in the docstrings of tests (``W3``, or ``W30-W36`` for a run of them). The proof column is
written by ``python -m tools.rules --write``; without it, this says what is wrong and exits with 1.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "behaviour.md"
TESTS = ROOT / "tests"

_RULE = re.compile(r"\b([WASPGDLORM])(\d+)(?:\s*(?:-|to)\s*\1(\d+))?\b")
_ROW = re.compile(r"^\| (?P<rule>[WASPGDLORM]\d+) \| (?P<promise>.*?) \|(?P<proof>[^|]*)\|$", re.M)


def main(arguments: list[str]) -> int:
    """Check, or with ``--write`` write the proof column first. Returns the exit code."""
    proofs, nameless = read_tests(TESTS)
    page = PAGE.read_text(encoding="utf-8")
    fresh = with_proofs(page, proofs)
    if "--write" in arguments and fresh != page:
        PAGE.write_text(fresh, encoding="utf-8")
        page = fresh
    problems = [*nameless, *compare(page, proofs)]
    if fresh != page:
        problems.append(f"{PAGE.name} names other tests than there are; run scripts/fix")
    print("\n".join(problems) or f"{len(promises(page))} promises, each with a test")
    return 1 if problems else 0


def promises(page: str) -> list[str]:
    """The names of the promises on the page, in order."""
    return [row["rule"] for row in _ROW.finditer(page)]


def compare(page: str, proofs: dict[str, list[Path]]) -> Iterator[str]:
    """What is promised and not proved, or proved and not promised, in words."""
    promised = promises(page)
    for rule in sorted({rule for rule in promised if promised.count(rule) > 1}):
        yield f"{rule} stands twice in {PAGE.name}"
    for rule in promised:
        if rule not in proofs:
            yield f"{rule} is promised in {PAGE.name}, and no test names it"
    for rule in sorted(proofs.keys() - set(promised), key=_order):
        files = ", ".join(str(file.relative_to(ROOT)) for file in proofs[rule])
        yield f"{rule} is named in {files}, and is not promised in {PAGE.name}"


def with_proofs(page: str, proofs: dict[str, list[Path]]) -> str:
    """The page, with the test files that prove each promise in its last column."""

    def row(match: re.Match[str]) -> str:
        links = ", ".join(_link(file) for file in proofs.get(match["rule"], []))
        return f"| {match['rule']} | {match['promise']} | {links} |"

    return _ROW.sub(row, page)


def _link(file: Path) -> str:
    name = file.relative_to(TESTS).with_suffix("").as_posix().replace("test_", "")
    return f"[{name}](../../{file.relative_to(ROOT).as_posix()})"


def read_tests(directory: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """The files that name each rule; and the tests that have no docstring, in words."""
    proofs: dict[str, list[Path]] = {}
    nameless = []
    for file in sorted(directory.rglob("test_*.py")):
        for name, line, docstring in tests_in(file):
            if docstring is None:
                where = f"{file.relative_to(directory.parent)}:{line}"
                nameless.append(f"{where}: {name} does not say in a docstring what it proves")
            for rule in rules_in(docstring or ""):
                files = proofs.setdefault(rule, [])
                if file not in files:
                    files.append(file)
    return proofs, nameless


def tests_in(file: Path) -> Iterator[tuple[str, int, str | None]]:
    """Name, line and docstring of each test function, and of each class that has a docstring."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if name.startswith("test_"):
                    yield name, node.lineno, ast.get_docstring(node)
            case ast.ClassDef(name=name) if docstring := ast.get_docstring(node):
                yield name, node.lineno, docstring


def rules_in(text: str) -> list[str]:
    """The rules that a text names: ``W3``, and each of ``W30-W36``."""
    return [
        f"{match[1]}{number}"
        for match in _RULE.finditer(text)
        for number in range(int(match[2]), int(match[3] or match[2]) + 1)
    ]


def _order(rule: str) -> tuple[str, int]:
    return rule[0], int(rule[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
