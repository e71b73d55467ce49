"""What the site makes of the pages in docs/, which are written to be read on a code host, too.

docs/README.md lists the pages: the site has its contents from there. Links to files that are no
pages of the site lead to `project.urls.Source` of pyproject.toml; without that, only their text is
left.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^(```.*?^```$)", re.M | re.S)
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_OPTION = re.compile(r'<span class="pre">(?=-[^<]{,33}<)')
_HEADING = re.compile(r"^##+ (.+)$")
_ITEM = re.compile(r"^- \[[^\]]+\]\(([^)#\s]+\.md)\)")


def contents(text: str) -> str:
    """The tables of contents for the lists below the headings of a page, as MyST has them."""
    caption = "All pages"
    lists = {caption: ["README"]}
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            caption = heading[1]
        elif item := _ITEM.match(line):
            lists.setdefault(caption, []).append(item[1].removesuffix(".md"))
    return "".join(
        "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])
        for caption, pages in lists.items()
    )


def source_url() -> str:
    """Where the files of the project can be read, from pyproject.toml; empty if it says nothing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project.get("urls", {}).get("Source", "")).rstrip("/")


def without_files(text: str, page: Path, base: str) -> str:
    """The text of a page, with its links to what is not on the site led to `base`."""
    parts = _FENCE.split(text)  # code is at the odd places
    parts[::2] = [_LINK.sub(lambda link: _led(link, page, base), part) for part in parts[::2]]
    return "".join(parts)


def with_whole_options(html: str) -> str:
    """The HTML of a page; options in it are marked, if a phone has room for them."""
    return _OPTION.sub('<span class="pre option">', html)


def _led(link: re.Match[str], page: Path, base: str) -> str:
    shown, target = link.groups()
    if "://" in target or target.startswith("#"):
        return link[0]
    file = (page.parent / target.partition("#")[0]).resolve()
    if on_site(file):
        return link[0]
    if not base:
        return shown
    kind = "tree" if file.is_dir() else "blob"
    return f"[{shown}]({base}/{kind}/main/{file.relative_to(ROOT).as_posix()})"


def on_site(file: Path) -> bool:
    """Whether a file is a page of the site, or a picture in one."""
    page = file.suffix == ".md" and "benchmarks" not in file.parts
    shown = page or file.suffix in (".png", ".svg")
    return file.is_relative_to(DOCS) and file.is_file() and shown
