"""What the peers need, made or found: virtual environments, Go's binary, Node.

Whatever cannot be had is noted with its reason in `Tools.absent`, and the servers that need it
are reported as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RESULTS = ROOT / "bench" / "results"
DOCUMENTS = ROOT / "docs" / "benchmarks"
VENVS = ROOT / ".venv-bench"
#: What our own package is installed from; if one of them changes, it is installed again.
BUILT_FROM = ("pyproject.toml", "setup.py", "bridge/accelerator/speedups.c")
#: CPythons on which meinheld's last release builds, the best first.
MEINHELD_PYTHONS = ("3.9", "3.8", "3.7")
#: CPythons that the stack of 2017 runs on.
DAPHNE_PYTHONS = ("3.7", "3.6")


@dataclass
class Tools:
    """Places by the names that commands in `servers` use; `absent` has reasons, by name."""

    places: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def python(self) -> str:
        return self.places["python"]


def prepare(python: str, temporary: Path, label: str = "") -> Tools:
    """Have everything; slow once (the virtual environments are made), quick afterwards.

    `label` tells two builds of the same version of `python` apart.
    """
    tools = Tools()
    _main_venv(tools, python, label)
    _old(tools, "meinheld", MEINHELD_PYTHONS)
    _old(tools, "daphne", DAPHNE_PYTHONS)
    _go(tools, temporary)
    _node(tools)
    return tools


def _main_venv(tools: Tools, base: str, label: str) -> None:
    version = _output(base, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    venv = VENVS / "-".join(filter(None, (version, label)))
    wanted = HERE / "peers.txt"
    pip = _venv(base, venv)
    inputs = [wanted, *(ROOT / name for name in BUILT_FROM)]
    absent = _once(venv, inputs, lambda: _install(pip, wanted))
    tools.absent.update(absent)
    tools.places |= {"python": str(venv / "bin/python"), "bin": str(venv / "bin")}
    tools.versions |= {"python": _output(tools.python, "-V").split()[1], **_pinned(wanted, pip)}
    about = _output(tools.python, "-m", "bridge", "--version")
    tools.versions["asgi-bridge"] = about.partition(" version ")[2].replace(",", "")


def _install(pip: list[str], wanted: Path) -> dict[str, str]:
    """Install the project and the peers; the peers one by one when all at once fails."""
    absent = {}
    if reason := _fails([*pip, "-e", f"{ROOT}[redis]"]):
        absent["bridge"] = reason
    if _fails([*pip, "-r", str(wanted)]):
        for line in wanted.read_text().splitlines():
            if line and not line.startswith("#") and (reason := _fails([*pip, line])):
                absent[line.partition("=")[0]] = reason
    return absent


def _old(tools: Tools, name: str, versions: tuple[str, ...]) -> None:
    """Have a peer that needs an old CPython, one of `versions`; its Python is ``NAME_python``."""
    place = f"{name}_python"
    tools.absent[place] = f"needs one of CPython {', '.join(versions)}"
    for version in versions:
        if base := _interpreter(version):
            break
    else:
        return
    venv, wanted = VENVS / name, HERE / f"peers-{name}.txt"
    pip = _venv(base, venv)

    def install() -> dict[str, str]:
        _fails([*pip, "setuptools", "wheel"])
        reason = _fails([*pip, "-r", str(wanted)])
        return {place: reason} if reason else {}

    absent = _once(venv, [wanted], install)
    tools.absent |= absent
    if not absent:
        del tools.absent[place]
        tools.places[place] = str(venv / "bin/python")
        tools.versions[name] = f"{_pinned(wanted, pip)[name]} on CPython {version}"


def _interpreter(version: str) -> str | None:
    """A CPython of this minor version: on the path, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    for candidate in candidates:
        if candidate and not _fails([str(candidate), "-c", "import venv"]):
            return str(candidate)
    return None


def _go(tools: Tools, temporary: Path) -> None:
    if shutil.which("go") is None:
        tools.absent["go"] = "no go on the path (Debian: golang)"
        return
    binary = temporary / "go-server"
    if reason := _fails(["go", "build", "-o", str(binary), str(HERE / "go" / "main.go")]):
        tools.absent["go"] = reason
        return
    tools.places["go"] = str(binary)
    tools.versions["go"] = _output("go", "version").split()[2].removeprefix("go")


def _node(tools: Tools) -> None:
    if place := shutil.which("node"):
        tools.places["node"] = place
        tools.versions["node"] = _output(place, "--version").removeprefix("v")
    else:
        tools.absent["node"] = "no node on the path (Debian: nodejs)"


def _venv(base: str, venv: Path) -> list[str]:
    """Make a virtual environment if there is none; the words that install into it."""
    python = venv / "bin/python"
    if not python.exists():
        print(f"bench: making {venv.relative_to(ROOT)}", file=sys.stderr)
        wheel = _pip_wheel(base)
        without_pip = ["--without-pip"] if wheel else []
        subprocess.run([base, "-m", "venv", *without_pip, str(venv)], check=True)
        if wheel:
            install = ["install", "--quiet", "--no-index", str(wheel)]
            subprocess.run([str(python), str(wheel / "pip"), *install], check=True)
    return [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def _pip_wheel(base: str) -> Path | None:
    """The wheel of pip beside Debian's builds: their ``ensurepip`` looks for it in /usr only."""
    return next(Path(base).parent.parent.glob("share/python-wheels/pip-*.whl"), None)


def _once(venv: Path, inputs: list[Path], install: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Run `install` when one of `inputs` has changed; what it said is absent."""
    contents = b"".join(path.read_bytes() for path in inputs if path.exists())
    stamp, digest = venv / "bench.json", hashlib.sha256(contents).hexdigest()
    if stamp.exists() and (known := json.loads(stamp.read_text()))["digest"] == digest:
        return known["absent"]
    print(f"bench: installing into {venv.relative_to(ROOT)}", file=sys.stderr)
    absent = install()
    stamp.write_text(json.dumps({"digest": digest, "absent": absent}))
    return absent


def _pinned(wanted: Path, pip: list[str]) -> dict[str, str]:
    """The installed versions of what `wanted` names."""
    lines = _output(pip[0], "-m", "pip", "freeze", "--disable-pip-version-check").splitlines()
    installed = {
        name.lower(): version for name, _, version in (line.partition("==") for line in lines)
    }
    names = (line.partition("==")[0].lower() for line in wanted.read_text().splitlines())
    return {name: installed[name] for name in names if name in installed}


def _fails(command: list[str]) -> str | None:
    """Run; None, or the last telling line of what it said when it failed."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [f"exit status {done.returncode}"])[0]


def without_places(text: str) -> str:
    """`text` without the places of this machine: it is about to be published."""
    return text.replace(f"{ROOT}/", "").replace(str(Path.home()), "~")


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
