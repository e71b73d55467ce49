"""Plain heads and fields read in C, and requests counted, if that is compiled; else None.

The source is `speedups.c`. The Python code that calls these functions does all that they do, and
what they do not.
``BRIDGE_SPEEDUPS`` chooses: ``no`` leaves all to Python, ``yes`` is an error if there is no
compiled module, and by default it is used if it is there. Nothing else depends on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias

from bridge.errors import ConfigError

VARIABLE = "BRIDGE_SPEEDUPS"

#: Method, target, raw path, query, fields; and whether `Request.apply_control_fields` must be
#: called for them.
PlainHead: TypeAlias = tuple[str, bytes, bytes, bytes, list[tuple[bytes, bytes]], bool]

#: A status line and fields, encoded; their Content-Length; whether such a head may come again.
PlainFields: TypeAlias = tuple[bytes, int | None, bool]

#: Read a whole head with at most so many fields; None if it is not plain.
read_head: Callable[[bytes, int], PlainHead | None] | None = None
#: Add fields to an environ, by the environ keys of names; the index of the first field that is not
#: plain, or their number.
add_headers: Callable[[dict[str, Any], list[tuple[bytes, bytes]], dict[bytes, str]], int] | None = (
    None
)

#: Encode a status line and fields, pairs of bytes or of text, by the roles of their names; None if
#: one is not plain.
join_fields: Callable[[bytes, list[Any], dict[Any, int], type[Any]], PlainFields | None] | None = (
    None
)

#: Counts requests, as `bridge.server.metrics.meter.PythonMeter` does; made with bounds in seconds.
Meter: Callable[[tuple[float, ...]], Any] | None = None
#: The time, as `time.perf_counter` gives it.
read_clock: Callable[[], float] | None = None

match os.environ.get(VARIABLE, ""):
    case "no":
        pass
    case "" | "yes" as chosen:
        try:
            speedups = import_module(f"{__name__}.speedups")
        except ImportError as error:
            if chosen:
                raise ConfigError(
                    f"{VARIABLE} is yes, and the compiled module cannot be loaded: {error}; "
                    "install it again where there is a C compiler, or take the variable away"
                ) from error
        else:
            read_head, add_headers = speedups.read_head, speedups.add_headers
            join_fields = speedups.join_fields
            if hasattr(speedups, "Meter"):  # else it was compiled by an older version
                Meter, read_clock = speedups.Meter, speedups.read_clock
    case other:
        raise ConfigError(f"{VARIABLE} is {other!r}; it must be yes, no, or not set")
