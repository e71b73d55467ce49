"""The site: its contents, its links, and the pages that are made from the code."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

import bridge
from bridge.server import cli
from bridge.server.config.config import SETTINGS
from tests.support.hosts import ROOT
from tools.site import commands, markdown, messages, metrics
from tools.site.docstrings import mended

PAGE = ROOT / "docs" / "howto" / "migrate.md"
BASE = "https://example.org/it"


def test_contents_are_the_lists_of_the_page_of_pages() -> None:
    """Each list below a heading is a table of contents with that caption; other links are none."""
    text = "# All\n\n[x](x.md)\n\n## A\n\n- [One](a/one.md): it\n- [Two](a/two.md)\n"
    text += "\n### B\n\n- [C](c.md)\n"
    found = re.findall(r":caption: (.*)\n\n((?:\S+\n)+)```", markdown.contents(text))
    assert found == [("All pages", "README\n"), ("A", "a/one\na/two\n"), ("B", "c\n")]


@pytest.mark.parametrize(
    ("text", "with_base", "without"),
    [
        ("[a](../README.md#how-to)", "[a](../README.md#how-to)", "[a](../README.md#how-to)"),
        ("[a](https://a.org) [b](#c)", "[a](https://a.org) [b](#c)", "[a](https://a.org) [b](#c)"),
        ("[`a`](../../setup.py)", f"[`a`]({BASE}/blob/main/setup.py)", "`a`"),
        ("[a](../../bridge/http)", f"[a]({BASE}/tree/main/bridge/http)", "a"),
        ("```\n[a](../../setup.py)\n```\n", None, "```\n[a](../../setup.py)\n```\n"),
        ("![a](../benchmarks/wsgi.png)", None, "![a](../benchmarks/wsgi.png)"),
        ("[a](../benchmarks/wsgi.md)", f"[a]({BASE}/blob/main/docs/benchmarks/wsgi.md)", "a"),
    ],
)
def test_links_to_what_is_not_on_the_site(text: str, with_base: str | None, without: str) -> None:
    """They lead to the project's source, if it says where that is; else only their text is left."""
    assert markdown.without_files(text, PAGE, BASE) == (with_base or without)
    assert markdown.without_files(text, PAGE, "") == without


def test_options_are_not_broken_into_lines() -> None:
    """Those for which a phone has room; other words of code are as they were."""
    word = '<span class="pre">{}</span>'
    for text in ("a", "x-y", "-" * 35):
        assert markdown.with_whole_options(word.format(text)) == word.format(text)
    for text in ("--host", "-c"):
        option = f'<span class="pre option">{text}</span>'
        assert markdown.with_whole_options(word.format(text)) == option


def test_docstrings_get_the_marks_of_restructuredtext() -> None:
    """Indented code is marked, a letter after a backtick is no error, and all else is kept."""
    given = ["Two `Mount`s, ``x``.", "", "    code `a`s", "", "    more", "", "  x", "`end`"]
    assert mended(given) == ["Two `Mount`\\ s, ``x``.", "", "::", "", *given[2:]]
    assert mended(["Thus::", "", "    code"]) == ["Thus::", "", "    code"]


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    """What `bridge` has in `__all__`, and what names.md lists of its packages."""
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    on_page = re.findall(r"^\.\. auto\w+:: bridge\.(\S+)$", page, re.M)
    assert not set(bridge.__all__) - {"__version__", *on_page}
    names = (ROOT / "docs" / "reference" / "names.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\| (`.*?`) \|", names, re.M)
    listed = {
        name.removeprefix("bridge.") for cell in first_cells for name in re.findall("`(.*?)`", cell)
    }
    ends = {name.rpartition(".")[2] for name in on_page}
    assert {name for name in listed if name.rpartition(".")[2] not in ends} == set()


def _options(command: click.Command) -> set[str]:
    """Every spelling of every option, `--help` as well."""
    context = click.Context(command)
    options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    return {name for each in options for name in (*each.opts, *each.secondary_opts)}


def test_every_command_and_option_is_on_the_page_of_commands() -> None:
    """Also those that are not shown by `--help`, and those of groups within groups; no other is."""
    page = commands.render()
    all_commands = dict(commands.commands(cli.main, ("asgi-bridge",)))
    assert ("asgi-bridge", "cutover", "replay") in all_commands
    assert re.findall(r"^## (.*)$", page, re.M) == [" ".join(path) for path in all_commands]
    settings = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    for path, command in all_commands.items():
        section = page.partition(f"\n## {' '.join(path)}\n")[2].partition("\n## ")[0]
        wanted = _options(command)
        missing = wanted - {*_OPTION.findall(section)}
        assert {each for each in missing if f"`{each}`" not in settings} == set(), path
        cells = re.findall(r"^\| `(-.*?)` \|", section, re.M)
        assert {each for cell in cells for each in _OPTION.findall(cell)} <= wanted, path


_OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")


def test_every_variable_of_the_environment_that_the_code_names_is_on_a_page() -> None:
    """`BRIDGE_` and the name of a setting, and a few more."""
    code = [file.read_text(encoding="utf-8") for file in (ROOT / "bridge").rglob("*.py")]
    names = {name for text in code for name in re.findall(r"(?<![A-Z_])BRIDGE_[A-Z_]*[A-Z]", text)}
    assert names > {"BRIDGE_CONFIG", "BRIDGE_SPEEDUPS"}
    of_settings = {f"BRIDGE_{each.name.upper()}" for each in SETTINGS}
    reference = ROOT / "docs" / "reference"
    pages = "".join(each.read_text(encoding="utf-8") for each in reference.glob("*.md"))
    others = names - of_settings - {"BRIDGE_OPTION"}  # that one stands for all of them
    assert {name for name in others if f"`{name}" not in pages} == set()


def test_every_metric_of_the_code_is_on_the_page_of_metrics() -> None:
    """Each name in the code is one of a family there, with its type, labels and help; no other."""
    page = metrics.render()
    names = metrics.in_code(ROOT / "bridge")
    assert names > {"bridge_workers", "bridge_info", "bridge_...requests_total"}
    assert metrics.problems(names) == []
    assert {*re.findall(r"^\| `(\w+)` \|", page, re.M)} == metrics.families().keys()
    assert "| `bridge_cutover_responses_total` | counter | `route`, `side`, `class` | Whole" in page


@pytest.mark.parametrize(
    "code",
    ['{"bridge_new": Family(type="gauge")}', 'x["bridge_new"] = y', 'f(name=f"bridge_new")'],
)
def test_a_new_metric_is_found_in_code(code: str, tmp_path: Path) -> None:
    """However its family is made; and it is missed if it is gone."""
    (tmp_path / "new.py").write_text(f"{code}\n'bridge_workers is no metric here'\n")
    assert metrics.in_code(tmp_path) == {"bridge_new"}
    problems = metrics.problems({"bridge_new"})
    assert "bridge_new is a metric in the code, and not on metrics.md" in problems
    assert "bridge_info is on metrics.md, and not in the code" in problems


def test_every_line_of_the_log_has_a_name_and_advice() -> None:
    """What the code logs from level info on is in messages.toml; names and texts are unique."""
    lines = messages.in_code(ROOT / "bridge")
    assert messages.problems(lines) == []
    names = [name for section in messages.table().values() for name in section]
    assert len(names) == len({*names})
    (missed,) = messages.problems([each for each in lines if each.text != "stopped"])
    assert missed == "messages.toml names 'stopped', which no code logs"
    page = messages.render(lines)
    assert "| `cut` | warning | `cut ...: ...` or `cut ... after ... bytes: ...` | A conn" in page
    assert page.count("\n| `") == len(names)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ('logger.error("%s: %.1f %% of %r", a, b, c)', None),
        ('logger.exception("it failed: %g %%", a)', ("it failed: ... %", "error")),
        ('self._logger.log(level, "a" "b %-5d", c)', ("ab ...", "")),
        ('self.roster.report(logging.INFO, f"{a} has gone")', ("... has gone", "info")),
        ("logger.warning(text)", ("bridge/new.py", "warning")),
        ('logger.info("%s: %s", a, b)', ("bridge/new.py", "info")),
        ('logger.info(f"{LEAD}: %s, again", a)', ("...: ..., again", "info")),
        ('LEAD = "one %s"\nlogger.info(f"{LEAD}: %s", a, b)', ("one ...: ...", "info")),
        ("class A:\n async def b():\n  logger.info(text)", ("bridge/new.py:A.b", "info")),
        ('def b():\n t = f"no {x}"\n logger.info("%s", t)', ("no ...", "info")),
        ('def b():\n t = "a"\n t = "b"\n logger.info("%s", t)', ("bridge/new.py:b", "info")),
    ],
)
def test_lines_are_found_in_code(code: str, line: tuple[str, str] | None, tmp_path: Path) -> None:
    """Their texts have `...` for what is filled in; those without words go by their place."""
    (tmp_path / "bridge").mkdir()
    (tmp_path / "bridge" / "new.py").write_text(f"logger.debug('no')\nhandle.error()\n{code}\n")
    (found,) = messages.in_code(tmp_path / "bridge")
    assert (found.text, found.level) == (line or ("...: ... % of ...", "error"))
    assert found.where == f"bridge/new.py:{3 + code.count(chr(10))}"
    problem = messages.problems([found])[0]
    assert problem.startswith(f"{found.where} logs {found.text!r}; give that a name")
