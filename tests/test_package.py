"""The face of the package: its names, and what importing it costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import entry_points, metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import bridge

SOURCE = Path(bridge.__file__).read_text()


def test_importing_the_package_loads_nothing_of_it() -> None:
    """`import bridge` is cheap: no module of ours, no loop, no server."""
    code = (
        "import sys; before = {*sys.modules}; import bridge;"
        "print(*(m for m in {*sys.modules} - before if m.startswith('bridge.')"
        " or m in ('asyncio', 'uvloop', 'httptools', 'greenlet', 'click', 'webob')))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_adapters_do_not_load_the_server() -> None:
    """An app that wants an adapter gets no HTTP parser with it."""
    code = (
        "import sys; from bridge import AsgiToWsgi, Dispatcher, WsgiToAsgi;"
        "print(*(m for m in sys.modules if m.startswith('bridge.server') or m == 'httptools'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_adapters_load_the_websocket_library_at_the_first_handshake() -> None:
    """Nobody pays for WebSockets (4 MB, 20 ms) before one is asked for."""
    code = (
        "import sys, bridge.asgi_to_wsgi, bridge.wsgi_to_asgi;"
        "print(*(m for m in sys.modules if m.partition('.')[0] == 'websockets'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


@pytest.mark.parametrize("name", bridge.__all__)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    """Each name can be had, has a docstring, and stands in dir()."""
    value = getattr(bridge, name)
    assert name in dir(bridge)
    if name != "__version__":
        assert value.__doc__


def test_type_checkers_see_the_same_names() -> None:
    """The imports for type checkers, the table for the interpreter and `__all__` agree."""
    imported = {
        alias.name: node.module
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("bridge.")
        for alias in node.names
    }
    assert imported == bridge._MODULES
    assert sorted(bridge.__all__) == sorted([*imported, "__version__"])


def test_a_name_that_is_not_there() -> None:
    """A typing error is an AttributeError that says so."""
    with pytest.raises(AttributeError, match="module 'bridge' has no attribute 'nothing'"):
        bridge.nothing  # type: ignore[attr-defined]


def test_metadata_and_code_agree() -> None:
    """One version, one command, and a marker for type checkers."""
    about = metadata("asgi-bridge")
    assert about["Version"] == bridge.__version__
    assert about["License-Expression"] == "BSD-3-Clause"
    [command] = entry_points(group="console_scripts", name="asgi-bridge")
    assert command.value == "bridge.server.cli:main"
    assert (Path(bridge.__file__).parent / "py.typed").exists()


def test_what_tells_of_releases_names_one_version() -> None:
    """How to cite says the version of the code; the changelog begins with it, or what comes."""
    root = Path(bridge.__file__).parent.parent
    cited = yaml.safe_load((root / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= {*cited}
    assert cited["version"] == bridge.__version__
    assert cited["license"] == "BSD-3-Clause"
    assert all("name" in author for author in cited["authors"])
    changes = (root / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (.+)$", changes, re.M)
    assert all(
        re.fullmatch(r"\[Unreleased\]|\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", each)
        for each in versions
    )
    assert versions[0] == "[Unreleased]" or versions[0].startswith(f"[{bridge.__version__}]")
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert {*re.findall(r"^### (.+)$", changes, re.M)} <= kinds


def test_modules_that_are_named_as_text_exist() -> None:
    """An import of a module by its name, of which no type checker knows, finds the module."""
    named = {
        node.args[0].value
        for path in Path(bridge.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) == "import_module"
        and isinstance(node.args[0], ast.Constant)
    }
    ours = {name for name in named if str(name).startswith("bridge.")}
    assert ours
    for name in ours:
        assert find_spec(str(name)) is not None, name
