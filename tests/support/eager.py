"""Tests that say in which order things happen before the loop has its next turn."""

from __future__ import annotations

import sys

import pytest

#: From Python 3.12 on the task of an app starts at once; before, these tests come too early for it.
EAGER = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="the task of an app starts a turn later on Python 3.11"
)
