"""The figures of the house: each finds what it is there to find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tools import house
from tools.modules import Module
from tools.once import (
    Figure,
    files_that_write_http1,
    places_of_the_head,
    places_of_the_mount_rule,
    places_of_the_small_answer,
)

Read = Callable[[dict[str, str]], list[Module]]
Count = Callable[[list[Module]], Figure]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """``read({"a.py": text})``: these files as the modules of a package ``bridge``."""

    def read(files: dict[str, str]) -> list[Module]:
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
            "function.py": "def f():\n" + "    pass\n" * 42,
        }
    )
    assert house.files_in_a_folder(modules).above == ["bridge/full: 13"]
    assert house.lines_of_a_file(modules).above == ["bridge/long.py: 400"]
    assert house.lines_of_a_function(modules).above == ["bridge/function.py:1 f: 43"]


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
    "base",
    [
        "from bridge.base import Base\nclass Heir(Base): more = 1",
        "from bridge import base\nclass Heir(base.Base): more = 1",
        "import bridge.base\nclass Heir(bridge.base.Base): more = 1",
        "import bridge.base as b\nclass Heir(b.Base[int]): more = 1",
        "from bridge.room import Base as Ground\nclass Heir(Ground): more = 1",
        "from bridge.base import Base\nclass Heir(Base): __slots__ = ('more',)",
        "from bridge.base import Base\nclass Heir(Base): more, LIMIT = 1, 2",
        "from bridge.base import Base\nclass Heir(Base): more: int",
        "from bridge.base import Base\nclass Heir(Base):\n def m(self): self.MORE = 1",
        "from bridge.base import Base\nclass Heir(Base): more = 1\ndef f():\n class Heir: pass",
    ],
)
def test_classes_are_found_by_any_name(read: Read, base: str) -> None:
    """Whatever way a base is imported, and an attribute is made, they count."""
    names = [f"a{number}" for number in range(20)]
    files = {"base.py": f"class Base:\n    __slots__ = {names}\n", "heir.py": base + "\n"}
    modules = read({**files, "room/__init__.py": "from ..base import Base\n"})
    assert house.attributes_of_a_class(modules).above == ["bridge.heir.Heir: 21"]


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (places_of_the_mount_rule, "rest = path[len(root_path):]"),
        (places_of_the_mount_rule, "if path.startswith(self.prefix): pass"),
        (places_of_the_mount_rule, "rest = path[1 + len(base) :]"),
        (places_of_the_mount_rule, "rest = path.removeprefix(base)"),
        (places_of_the_head, "ok = 200 <= status <= 999"),
        (places_of_the_head, "if self.status < 100 or self.status > 599: pass"),
        (places_of_the_head, "ok = number in range(200, 600)"),
        (places_of_the_small_answer, "kind = 'text/plain; charset=utf-8'"),
        (files_that_write_http1, r"line = b'HTTP/1.1 %d %b\r\n' % status"),
        (files_that_write_http1, r"write(b'HTTP/1.1 100 Continue\r\n\r\n')"),
        (files_that_write_http1, r"line = b'content-length: %d\r\n' % size"),
        (files_that_write_http1, r"write(b'0\r\n\r\n')"),
        (files_that_write_http1, r"head = name + b': ' + value + b'\r\n'"),
        (files_that_write_http1, r"head = f'{name}: {value}\r\n'"),
        (files_that_write_http1, r"head = '\r\n'.join(lines)"),
        (files_that_write_http1, r"lines.append('\r\n')"),
    ],
)
def test_rules_that_stand_elsewhere(read: Read, count: Count, line: str) -> None:
    """A rule that stands beside its place is found; what comments and docstrings say is not."""
    assert count(read({"here.py": f'"""{line}"""\n# {line}\n'})).above == []
    (found,) = count(read({"there.py": line + "\n"})).above
    assert found == f"bridge/there.py:1 {line}"


def test_what_is_no_rule(read: Read) -> None:
    """Literals and constants are cut off, ends of lines looked for, and kinds of errors told."""
    harmless = r"""
        PREFIX = "a"
        END = b"\r\n"
        name.startswith(("a", PREFIX)), name.removeprefix(self.PREFIX), name[len("a"):]
        data.find(END), data.split(b"\r\n"), data == END, len(END), data.endswith(END)
        if status >= 500: pass
        [*range(5)], range(1000)
        """
    modules = read({"a.py": harmless})
    for count in (places_of_the_mount_rule, places_of_the_head, files_that_write_http1):
        assert count(modules).above == []


def test_an_end_of_a_line_with_a_name(read: Read) -> None:
    """It is found where it is used."""
    text = r'END = b"\r\n"' + "\ndef f(line):\n    return line + END\n"
    (found,) = files_that_write_http1(read({"a.py": text})).above
    assert found == "bridge/a.py:3 return line + END"


def test_places_that_write_http1(read: Read) -> None:
    """The head and its fields are one place of three."""
    text = r"def f(line): return line + b'\r\n'" + "\n"
    figure = files_that_write_http1(
        read(
            {
                "http/response_fields.py": text,
                "http/response_head.py": text,
                "server/http1/response.py": text,
                "websocket/handshake.py": text,
            }
        )
    )
    assert (figure.value, figure.most, figure.above) == (3, 3, [])


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


@pytest.mark.parametrize("name", ["import bridge", "from bridge import A", "from . import A"])
def test_circles_through_the_package(read: Read, name: str) -> None:
    """What the package's own names stand for imports none of them from the package."""
    modules = read({"__init__.py": "HOMES = {'A': 'bridge.a'}\n", "a.py": f"{name}\n"})
    assert house.circles(modules).above == ["bridge <-> bridge.a"]


@pytest.mark.parametrize(
    "line",
    [
        "from bridge.server.http1.reader import Reader",
        "from bridge.server.http1 import reader",
        "from ..http1 import reader",
        "import bridge.server.http1.reader",
        "def f(): import bridge.server.http1.reader",
        "if TYPE_CHECKING: from bridge.server.http1.reader import Reader",
        "import_module('bridge.server.http1.reader')",
    ],
)
def test_arrows(read: Read, line: str) -> None:
    """What a file of the server imports of a higher room, or of a sibling, is found."""
    files = {"server/http1/reader.py": "from bridge.server.config.config import Config\n"}
    modules = read({**files, "server/config/config.py": "", "server/exchange.py": ""})
    assert house.arrows_in_the_server(modules).value == 1
    assert house.arrows_between_rooms(modules).value == 1
    assert house.arrows_up(modules).above == []
    for room in ("transport", "apps"):
        more = read({f"server/{room}/a.py": line + "\n"})
        arrow = f"bridge.server.{room}.a -> bridge.server.http1.reader"
        assert arrow in house.arrows_up(more).above
    assert house.layers_of_the_server(modules).value == len(house.layers())


def test_layers(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """One layer more than the longest chain of imports needs is too many."""
    monkeypatch.setattr(house, "layers", lambda: [set()] * (house.MOST_LAYERS + 1))
    above = [f"bridge.server: {house.MOST_LAYERS + 1}"]
    assert house.layers_of_the_server(read({})).above == above


def test_prose(read: Read) -> None:
    """Docstrings and comments are prose, names and other texts are not."""
    modules = read({"a.py": '"""Where it is."""\nwhere = "where"  # if and when, If\n'})
    assert house.where_for_if(modules).value == pytest.approx(1 / 3)
    assert house.where_for_if(modules).above == []
    modules = read({"a.py": '"""Where it is."""\nwhere = "where"  # if and when\n'})
    assert house.where_for_if(modules).above == ["1 x where, 2 x if and when"]
