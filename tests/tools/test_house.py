"""The figures of the house: each finds what it is there to find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tools import house

Read = Callable[[dict[str, str]], list[house.Module]]
Count = Callable[[list[house.Module]], house.Figure]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """``read({"a.py": text})``: these files as the modules of a package ``bridge``."""

    def read(files: dict[str, str]) -> list[house.Module]:
        for name, text in files.items():
            file = tmp_path / "bridge" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text))
        return house.read(tmp_path / "bridge")

    return read


def test_sizes(read: Read) -> None:
    """Folders, files and functions that are too large are named, others are not."""
    modules = read(
        {
            **{f"full/m{number}.py": "" for number in range(13)},
            "long.py": "\n" * 400,
            "just.py": "\n" * 399,
            "function.py": "def f():\n" + "    pass\n" * 49,
        }
    )
    assert house.files_in_a_folder(modules).above == ["bridge/full: 13"]
    assert house.lines_of_a_file(modules).above == ["bridge/long.py: 400"]
    assert house.lines_of_a_function(modules).above == ["bridge/function.py:1 f: 50"]


def test_classes_count_over_their_bases(read: Read) -> None:
    """What a base in another file defines counts; a class of the same name elsewhere does not."""
    attributes = "\n".join(f"        self.a{number} = 0" for number in range(20))
    methods = "\n".join(f"    def m{number}(self): ..." for number in range(25))
    modules = read(
        {
            "base.py": f"class Base:\n    LIMIT = 5\n    def __init__(self):\n{attributes}\n",
            "same.py": f"class Other:\n{methods}\n",
            "heir.py": """
                from bridge.base import Base as Ground
                class Other:
                    more: int
                class Heir(Ground):
                    more: int
                class Alone(Other):
                    def m(self): ...
                """,
        }
    )
    assert house.attributes_of_a_class(modules).above == ["bridge.heir.Heir: 21"]
    assert house.methods_of_a_class(modules).above == []
    assert house.methods_of_a_class(modules).value == 25


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (house.places_of_the_mount_rule, "rest = path[len(root_path):]"),
        (house.places_of_the_mount_rule, "if path.startswith(self.prefix): pass"),
        (house.places_of_the_head, "ok = 200 <= status <= 999"),
        (house.places_of_the_small_answer, "kind = 'text/plain; charset=utf-8'"),
        (house.files_that_write_http1, r"line = b'HTTP/1.1 %d %b\r\n'"),
        (house.files_that_write_http1, r"line = b'HTTP/1.1 100 Continue\r\n\r\n'"),
        (house.files_that_write_http1, r"line = b'content-length: %d\r\n' % size"),
        (house.files_that_write_http1, r"end = b'0\r\n\r\n'"),
    ],
)
def test_rules_that_stand_elsewhere(read: Read, count: Count, line: str) -> None:
    """A rule that stands beside its place is found; what comments and docstrings say is not."""
    assert count(read({"here.py": f'"""{line}"""\n# {line}\n'})).above == []
    (found,) = count(read({"there.py": line + "\n"})).above
    assert found == f"bridge/there.py:1 {line}"


def test_circles(read: Read) -> None:
    """A circle is found whatever way its files import: at the top, in a function, by a string."""
    modules = read(
        {
            "__init__.py": "HOMES = {'a': 'bridge.a'}\n",
            "a.py": "from bridge import b\n",
            "b.py": "def f():\n    import bridge.c\n",
            "c.py": "import_module('bridge.a')\n",
            "d.py": "from bridge.a import x\n",
        }
    )
    assert house.circles(modules).above == ["bridge.a <-> bridge.b <-> bridge.c"]


def test_prose(read: Read) -> None:
    """Docstrings and comments are prose, names and other texts are not."""
    modules = read({"a.py": '"""Where it is."""\nwhere = "where"  # if and when, If\n'})
    assert house.where_for_if(modules).value == pytest.approx(1 / 3)
    assert house.where_for_if(modules).above == []
    modules = read({"a.py": '"""Where it is."""\nwhere = "where"  # if and when\n'})
    assert house.where_for_if(modules).above == ["1 x where, 2 x if and when"]
