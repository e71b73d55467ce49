"""One request of the contract suite's app as a CGI script."""

from __future__ import annotations

import os
from importlib import import_module
from wsgiref.handlers import CGIHandler

module, _, name = os.environ["TARGET"].partition(":")
CGIHandler().run(getattr(import_module(module), name))
