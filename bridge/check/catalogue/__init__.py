"""All that can be found about an app: how bad it is, what to do, and which ways to serve it suffer.

Observers find an entry by its name, and give the values for the ``{}`` in its text.
"""

from __future__ import annotations

from typing import Final

from bridge.check.catalogue.entry import Entry
from bridge.check.catalogue.of_answers import ANSWERS
from bridge.check.catalogue.of_asgi import ASGI
from bridge.check.catalogue.of_surroundings import SURROUNDINGS
from bridge.check.catalogue.of_wsgi import WSGI

CATALOGUE: Final[dict[str, Entry]] = {**WSGI, **ANSWERS, **ASGI, **SURROUNDINGS}
