"""What routes an app has, read from its framework without a request (M50).

`read_table` finds the framework of an app and reads its routes; mounted apps are in the table, too.
`site_table` makes one list of them, in the order in which they are asked, with those that are never
reached; `who_answers` looks one request up in it. `covers` and `overlaps` compare two paths.
"""

from __future__ import annotations

from bridge.route_tables.finding import read_table
from bridge.route_tables.patterns.pattern import Pattern, covers, overlaps
from bridge.route_tables.patterns.tokens import parse_braces
from bridge.route_tables.route import AppRoute, AppTable, Submount, View
from bridge.route_tables.site.answers import Answer, site_table, who_answers
from bridge.route_tables.site.rows import Row

__all__ = [
    "Answer",
    "AppRoute",
    "AppTable",
    "Pattern",
    "Row",
    "Submount",
    "View",
    "covers",
    "overlaps",
    "parse_braces",
    "read_table",
    "site_table",
    "who_answers",
]
