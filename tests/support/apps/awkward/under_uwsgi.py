"""An app that runs under uWSGI only."""

from __future__ import annotations

import uwsgidecorators


@uwsgidecorators.timer(60)
def clean_up(number):
    pass
