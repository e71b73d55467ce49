"""Every source file over 40 lines has a test file of its name, in the same tree.

``bridge/http/paths.py`` is tested by ``tests/http/test_paths.py``. Without arguments this says
which test files are missing or have no test, and exits with 1 if any is. Files without code to run,
such as types and protocols, need none.

``python -m tools.mirror --cover [FILE...]`` runs the test file of each source file (all, or those
named) alone, under coverage with branches, and says what it leaves out; it exits with 1 if anything
is left out. Servers that the tests start count. What is for another Python than the one that runs
does not: ``if sys.version_info ...``.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "bridge"
TESTS = ROOT / "tests"

#: coverage's tracer takes the lines of one greenlet for those of another, whose file it then adds
#: them to. So the file that switches is measured by the interpreter itself, by lines only.
SWITCHES: Final = "from greenlet import"
BY_LINES: Final = "[run]\nsource = bridge\nparallel = true\npatch = subprocess\ncore = sysmon\n"

#: A file of at most so many lines may do without a test file of its own.
SHORT = 40


def main(arguments: list[str]) -> int:
    """Check the names, or with ``--cover`` the branches. Returns the exit code."""
    if arguments[:1] == ["--cover"]:
        return cover([ROOT / name for name in arguments[1:]] or [*sources()])
    missing = [*untested()]
    print("\n".join(missing) or f"{len([*sources()])} source files, each with its test file")
    return 1 if missing else 0


def sources() -> Iterator[Path]:
    """The source files that must have a test file."""
    for source in sorted(SOURCES.rglob("*.py")):
        text = source.read_text(encoding="utf-8")
        if len(text.splitlines()) > SHORT and _does_something(ast.parse(text)):
            yield source


def _does_something(tree: ast.Module) -> bool:
    """Whether there is a function with more than a docstring: types and protocols have none."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for statement in node.body:
                match statement:
                    case ast.Expr(value=ast.Constant()):
                        pass
                    case _:
                        return True
    return False


def test_of(source: Path) -> Path:
    """Where the test file of `source` stands; a package is tested beside its folder."""
    inside = source.relative_to(SOURCES)
    if inside.name == "__init__.py":
        inside = inside.parent.with_suffix(".py") if inside.parent.name else Path("package.py")
    return TESTS / inside.parent / f"test_{inside.stem.strip('_')}.py"


def untested() -> Iterator[str]:
    """What is missing, in words."""
    for source in sources():
        test = test_of(source).relative_to(ROOT)
        if not test_of(source).exists():
            yield f"{source.relative_to(ROOT)} has no test file of its name: {test}"
        elif not _has_tests(ast.parse(test_of(source).read_text(encoding="utf-8"))):
            yield f"{source.relative_to(ROOT)} has no test in {test}"


def _has_tests(tree: ast.Module) -> bool:
    return any(
        isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
        for node in ast.walk(tree)
    )


# ------------------------------------------------------------- what a test file covers alone


def cover(files: list[Path]) -> int:
    """Run the test file of each source file alone; say what it does not cover."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        left_out = 0
        for source, said in zip(files, pool.map(_left_out, files), strict=True):
            name = source.relative_to(ROOT)
            print(f"{name}: {said or 'covered'}", flush=True)
            left_out += bool(said)
    print(f"{len(files) - left_out} of {len(files)} files are covered by their own test file alone")
    return 1 if left_out else 0


def _left_out(source: Path) -> str:
    test = test_of(source)
    if not test.exists():
        return f"no test file, {test.relative_to(ROOT)}"
    coverage = [sys.executable, "-m", "coverage"]
    with TemporaryDirectory(prefix="bridge-mirror-") as folder:
        environment = {**os.environ, "COVERAGE_FILE": str(Path(folder) / "coverage")}

        def run(*command: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*coverage, *command],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )

        text, how = source.read_text(encoding="utf-8"), []
        if SWITCHES in text:
            (Path(folder) / "coveragerc").write_text(BY_LINES)
            how = [f"--rcfile={folder}/coveragerc"]
        tests = run("run", *how, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test))
        run("combine", *how, "-q")
        report = Path(folder) / "report.json"
        run("json", *how, "-q", f"--include={source.relative_to(ROOT)}", "-o", str(report))
        if tests.returncode != 0:
            return f"its tests fail:\n{tests.stdout[-2000:]}"
        if not report.exists():
            return "its test file does not run it"
        elsewhere = _of_other_pythons(ast.parse(text))
        return _missing(json.loads(report.read_text(encoding="utf-8")), elsewhere)


def _of_other_pythons(tree: ast.Module) -> set[int]:
    """The lines that this Python does not run because of its version."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).startswith("sys.version_info "):
            runs = eval(compile(ast.Expression(node.test), "", "eval"), {"sys": sys})
            for statement in node.orelse if runs else node.body:
                lines.update(range(statement.lineno, (statement.end_lineno or 0) + 1))
    return lines


def _missing(report: dict[str, Any], elsewhere: set[int]) -> str:
    """What a report of coverage says of its one file, in words; empty if nothing is missing.

    Lines that run `elsewhere` are not missing, nor are branches to them.
    """
    (file,) = report["files"].values()
    missing = {*file["missing_lines"]}
    lines = ", ".join(map(str, sorted(missing - elsewhere)))
    branches = ", ".join(
        f"{start}->{end if end > 0 else 'exit'}"
        for start, end in file.get("missing_branches", ())
        if start not in missing and end not in elsewhere
    )
    said = [f"lines {lines}"] if lines else []
    said += [f"branches {branches}"] if branches else []
    percent = file["summary"]["percent_covered"]
    return f"{percent:.1f} %, without {' and '.join(said)}" if said else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
