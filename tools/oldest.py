"""Print the oldest allowed version of each library that the base package needs, for pip.

`scripts/_environment` installs with these constraints on the oldest Python, so that the suite there
shows that the lower bounds in pyproject.toml are true. Needs nothing but Python: it runs before
anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent

_BOUND = re.compile(r"(?P<name>[A-Za-z0-9._-]+)>=(?P<version>[0-9.]+)(?P<when>;.*)?")


def constraints(dependencies: list[str]) -> list[str]:
    """Return ``name==1.2`` for each ``name>=1.2``, with its environment marker.

    Raises ValueError for a dependency without a lower bound: nobody would know what to test.
    """
    found = []
    for dependency in dependencies:
        bound = _BOUND.fullmatch(dependency.replace(" ", ""))
        if bound is None:
            raise ValueError(f"{dependency!r} has no lower bound: write it as name>=1.2")
        marker = dependency.partition(";")[2].strip()
        found.append(f"{bound['name']}=={bound['version']}" + (f"; {marker}" if marker else ""))
    return found


def main() -> int:
    """Print them, a line each. Returns the exit code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    print("\n".join(constraints(project["dependencies"])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
