"""The rows of the scenario `shadow`: what copies cost the old app's clients."""

from __future__ import annotations

from bench.measure.samples import Row

ABOUT = "Hello, world! of an old app, 1,500 requests/s, with copies for a new one and without"
#: Mode in `apps/shadowed.py` -> what its row is called.
MODES = {
    "old": "no copies",
    "none": "sample 0",
    "kept": "kept, dropped",
    "hangs": "new app hangs",
    "tenth": "1 of 10 copied",
    "all": "all copied",
}


def rows() -> tuple[Row, ...]:
    """Each kind of old app in each mode."""
    return tuple(
        Row(f"{kind}, {name}", "bridge", f"bench.apps.shadowed:{kind}_{mode}")
        for kind in ("asgi", "wsgi", "flask")
        for mode, name in MODES.items()
    )
