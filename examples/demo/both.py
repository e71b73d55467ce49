"""The server of the demo: the ramp at /, and the page that shows it at /demo.

``scripts/demo`` serves it, with all that it needs.
"""

from __future__ import annotations

import os

import fresh
from panel import app as panel

from bridge import Cutover, Dispatcher
from old.shop import app as old

ramp = Cutover(old, fresh.app, os.path.join(os.environ["DEMO_FOLDER"], "cutover.toml"))
app = Dispatcher({"/demo": panel, "/": ramp})
