"""What is released: built as for an index, installed as by a user, and nothing left out of it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from email.message import Message
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

import bridge
from tests.live.test_readme import uses
from tests.support.hosts import ROOT, Command, start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(find_spec("build") is None, reason="built on the newest Python only"),
]

_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
_SECONDS = 200  # one program; `timeout` of pytest is for all of a test


def run(*argv: str, cwd: Path = ROOT) -> str:
    """Run a program to its end, and return what it said."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, f"{shlex.join(argv)}: {done.stdout}"
    return done.stdout


def _environment() -> dict[str, str]:
    """The variables of this process, without those that let a Python find this repository."""
    return {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}


def tracked() -> list[str]:
    """The files of the repository."""
    return run("git", "ls-files", "-z").strip("\0").split("\0")


def metadata_of(wheel: Path) -> Message:
    """What a wheel says about itself; the README is its text."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_string(archive.read(name).decode())


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution, made of a fresh copy, and the wheel that is made of it."""
    copy, made = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("made")
    for name in tracked():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
    run(sys.executable, "-m", "build", "--outdir", str(made), str(copy))
    [source], [wheel] = made.glob("*.tar.gz"), made.glob("*.whl")
    return source, wheel


@pytest.fixture(scope="module")
def installed(released: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an empty environment, into which the wheel was installed."""
    folder = tmp_path_factory.mktemp("user") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    run(*_PIP, "--python", str(folder / "bin/python"), "install", str(released[1]))
    return folder / "bin"


def test_an_index_would_take_it(released: tuple[Path, Path]) -> None:
    """Metadata and README are such that an index takes and shows them: twine finds no fault."""
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, released))


def test_the_source_distribution_has_all_that_is_built(released: tuple[Path, Path]) -> None:
    """Each file of the package and of its release, the sources in C too; no tests, no tools."""
    with tarfile.open(released[0]) as archive:
        names = {each.name.partition("/")[2] for each in archive if each.isfile()}
    ours = {name for name in tracked() if name.startswith("bridge/")}
    about = {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "SECURITY.md"}
    made = {name for name in names if name.startswith("asgi_bridge.egg-info/")}
    how = {"pyproject.toml", "setup.py", "MANIFEST.in"}
    assert names - made == ours | about | how | {"PKG-INFO", "setup.cfg"}


def test_the_wheel_has_the_package_and_nothing_else(released: tuple[Path, Path]) -> None:
    """Its modules, the marker and stubs for type checkers, the licence; no sources in C."""
    with zipfile.ZipFile(released[1]) as archive:
        names = set(archive.namelist())
    assert metadata_of(released[1])["Version"] == bridge.__version__
    [folder] = {name.partition("/")[0] for name in names if ".dist-info/" in name}
    ours = {name for name in tracked() if re.fullmatch(r"bridge/(.*\.pyi?|py\.typed)", name)}
    compiled = {name for name in names if name.endswith(".so")}
    assert {name for name in names - compiled if not name.startswith(folder)} == ours
    assert f"{folder}/licenses/LICENSE" in names
    if find_spec("bridge.accelerator.speedups"):  # so there is a compiler, and what it needs
        assert len(compiled) == 3


def test_the_readme_of_a_release_leads_to_the_repository(released: tuple[Path, Path]) -> None:
    """An index shows it without the files beside it: each link to one names it in `Source`."""
    about = metadata_of(released[1])
    [source] = [each for each in about.get_all("Project-URL") if each.startswith("Source, ")]
    base = re.escape(source.removeprefix("Source, "))
    text = (ROOT / "README.md").read_text()
    parts = re.split(r"^(```.*?^```$)", about.get_payload(), flags=re.M | re.S)
    assert parts[1::2] == re.findall(r"^```.*?^```$", text, re.M | re.S)  # code stays as it is
    links = re.findall(r"\]\(([^)]+)\)", "".join(parts[::2]))
    assert all("://" in link or link.startswith("#") for link in links)
    led = [match[1] for link in links if (match := re.match(rf"{base}/\w+/main/([^#]+)", link))]
    assert len(led) > 10
    assert {name for name in led if not (ROOT / name).exists()} == set()


def test_where_the_project_lives_is_said_once(released: tuple[Path, Path]) -> None:
    """All addresses of the metadata are below that of the source."""
    urls = dict(each.split(", ") for each in metadata_of(released[1]).get_all("Project-URL"))
    assert {*urls} == {"Source", "Documentation", "Changelog", "Issues"}
    assert all(url.startswith(urls["Source"]) for url in urls.values())


def test_the_base_install_is_whole(installed: Path) -> None:
    """With its base dependencies alone the package runs, and says the version."""
    assert f"version {bridge.__version__}," in run(str(installed / "asgi-bridge"), "--version")
    run(*_PIP, "--python", str(installed / "python"), "check")


def test_what_the_readme_shows_first_runs(installed: Path, tmp_path: Path) -> None:
    """Installed as the README says, its first app answers over the wire as it says."""
    use = uses()[0]
    text = (ROOT / "README.md").read_text()
    [besides] = re.findall(r"`python -m pip install ([a-z][a-z ]+)`", text)
    run(*_PIP, "--python", str(installed / "python"), "install", *besides.split())
    (tmp_path / use.file).write_text(use.code)
    program, *arguments = use.command
    argv = (str(installed / program), *arguments, "--port={port}")
    with start(Command("README", argv, env={"PYTHONPATH": ""}, cwd=tmp_path)) as host:
        for path, answer in use.answers:
            assert httpx.get(host.url(path)).text.strip() == answer.strip()
