"""Sphinx makes the site from the pages of this folder: `scripts/docs` builds and serves it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from docutils import nodes

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import bridge  # noqa: E402
from tools.site import docstrings, markdown  # noqa: E402

project = "asgi-bridge"
author = "The asgi-bridge authors"
copyright = author
version = release = bridge.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "sphinx_design"]
exclude_patterns = ["benchmarks/*.md"]
root_doc = "index"
suppress_warnings = ["myst.header"]  # pages made from lists begin a level deeper
nitpick_ignore_regex = [("py:.*", ".*")]  # types of signatures are not all public
default_role = "code"  # docstrings have single backticks, as Markdown has

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 80

_BRANDED = ("primary", "content")
html_theme = "furo"
html_title = "asgi-bridge"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {  # the green of the charts and of the demo
    f"{scheme}_css_variables": {f"color-brand-{each}": colour for each in _BRANDED}
    for scheme, colour in (("light", "#1f6f5c"), ("dark", "#5fd0b3"))
}
html_copy_source = False
html_use_index = False  # nothing leads there
pygments_style = "friendly"
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

_NAMED = {
    "reference/settings": "setting",
    "reference/metrics": "metric",
    "reference/messages": "log line",
}
_SOURCE = os.environ.get("BRIDGE_DOCS_SOURCE") or markdown.source_url()


def _read(app, name, text):
    """Change what stands in `text`, a list of one, before it is read."""
    page = ROOT / "docs" / f"{name}.md"
    text[0] = markdown.without_files(text[0], page, _SOURCE)
    if name == "index":
        pages = ROOT / "docs" / "README.md"
        app.env.note_dependency(str(pages))
        text[0] += markdown.contents(pages.read_text(encoding="utf-8"))


def _show(app, name, template, context, doctree):
    """Change what a page of the site shows, before its file is written."""
    context["body"] = markdown.with_whole_options(context.get("body", ""))


def _put_first(app):
    """Have the search show settings and metrics before pages."""
    for kind in _NAMED.values():
        app.env.get_domain("std").object_types[kind].attrs["searchprio"] = 0


def _name_rows(app, doctree):
    """Have the search find each setting and metric, and lead to its row."""
    if kind := _NAMED.get(app.env.docname):
        for row in doctree.findall(nodes.row):
            for name in row[0].findall(nodes.literal):
                row["ids"].append(anchor := nodes.make_id(f"{kind}-{name.astext()}"))
                app.env.get_domain("std").note_object(kind, name.astext(), anchor, row)
                break


def setup(app):
    """Have Sphinx call what the site needs beside its extensions."""
    app.connect("source-read", _read)
    for kind in _NAMED.values():
        app.add_object_type(kind, kind)
    app.connect("builder-inited", _put_first)
    app.connect("doctree-read", _name_rows)
    app.connect("html-page-context", _show)
    app.connect("autodoc-process-docstring", docstrings.mend)
