import re
import sys
from pathlib import Path

from setuptools import Extension, setup

if sys.version_info < (3, 11):  # noqa: UP036 - pip runs this before it reads which Python is needed
    sys.exit(f"asgi-bridge needs Python 3.11 or newer, and this is {sys.version.split()[0]}")

import tomllib

ROOT = Path(__file__).parent


def readme() -> str:
    """The README for an index, which has no files beside it: its links lead to the repository."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def lead(link: re.Match[str]) -> str:
        kind = "raw" if Path(link[1]).suffix in {".gif", ".png", ".svg"} else "blob"
        return f"]({project['urls']['Source']}/{kind}/main/{link[1]})"

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    parts = re.split(r"^(```.*?^```$)", text, flags=re.M | re.S)  # code is at the odd places
    parts[::2] = [re.sub(r"\]\((?![a-z]+:|#)([^)\s]+)\)", lead, part) for part in parts[::2]]
    return "".join(parts)


# Optional: if it cannot be compiled, the package is installed without it, and works.
speedups = Extension(
    "bridge.accelerator.speedups",
    ["bridge/accelerator/speedups.c"],
    depends=["bridge/accelerator/clock.h"],
    optional=True,
)
# Without it there is no greenlet runner, and all else works.
thread_locals = Extension(
    "bridge.runners.greenlets.thread_locals",
    ["bridge/runners/greenlets/thread_locals.c"],
    optional=True,
)
# Without it that runner's sockets are slower.
nonblocking = Extension(
    "bridge.runners.greenlets.nonblocking",
    ["bridge/runners/greenlets/nonblocking.c"],
    optional=True,
)
setup(
    ext_modules=[speedups, thread_locals, nonblocking],
    long_description=readme(),
    long_description_content_type="text/markdown",
)
