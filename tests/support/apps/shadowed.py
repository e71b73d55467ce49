"""The apps of `ramp`, of which the new one is asked copies; ``REPORT`` names the report."""

from __future__ import annotations

import os

from bridge import Cutover, Route
from tests.support.apps.ramp import flask_app, starlette_app

app = Cutover(
    flask_app,
    starlette_app,
    [Route("invoices", ["/invoices/{id}", "/invoices"], mode="shadow")],
    shadow={"report": os.environ["REPORT"], "ignore": ["$.side", "$.up"]},
)
