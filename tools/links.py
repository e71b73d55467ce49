"""The pages hang together: links lead somewhere, code in them is code, names in them exist."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import bridge

ROOT = Path(__file__).parent.parent

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)
_NAME = re.compile(r"`bridge\.([A-Za-z_]\w*)")


def _compile(code: str) -> None:
    compile(code, "snippet", "exec")


#: How a snippet of each language is known to be one.
_READ: dict[str, Callable[[str], object]] = {
    "python": _compile,
    "toml": tomllib.loads,
    "json": json.loads,
}


def pages() -> list[Path]:
    """Every page of the project."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def problems(page: Path) -> Iterator[str]:
    """What is wrong with a page, in words."""
    text = page.read_text(encoding="utf-8")
    yield from _bad_snippets(text)
    prose = _FENCE.sub("", text)
    yield from _dead_links(page, prose)
    for name in _NAME.findall(prose):
        if name not in bridge.__all__ and not _is_module(name):
            yield f"bridge.{name} is not a public name"


def _is_module(name: str) -> bool:
    home = Path(bridge.__file__).parent
    return (home / name).is_dir() or (home / f"{name}.py").is_file()


def _bad_snippets(text: str) -> Iterator[str]:
    for language, code in _FENCE.findall(text):
        try:
            _READ.get(language, str)(code)
        except (SyntaxError, ValueError) as error:
            yield f"a {language} snippet is none: {error}"


def _dead_links(page: Path, prose: str) -> Iterator[str]:
    for link in _LINK.findall(prose):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists():
            yield f"{link} leads nowhere"
        elif anchor and anchor not in _anchors(target):
            yield f"{link} leads to no heading"


def _anchors(page: Path) -> set[str]:
    headings = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def main() -> int:
    """Look at every page; returns the exit code."""
    found = [
        f"{page.relative_to(ROOT)}: {problem}" for page in pages() for problem in problems(page)
    ]
    print("\n".join(found) or f"{len(pages())} pages")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
