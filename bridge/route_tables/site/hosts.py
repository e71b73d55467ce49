"""Hosts of routes: a name, ``*.name``, or what a framework writes with parameters."""

from __future__ import annotations

import re

#: Labels that are a parameter, of Flask or Starlette, at the beginning.
_PARAMETERS = re.compile(r"^(?:[<{][^<>{}]*[>}]\.)+")
_PORT = re.compile(r":\d*$")


def plain_host(written: str) -> str:
    """Return a host as our own mounts write it, ``*.name``; without a port, in lower case."""
    host = _PORT.sub("", written.strip().lower()).removesuffix(".")
    return _PARAMETERS.sub("*.", host)


def _is_plain(host: str) -> bool:
    return not re.search(r"[<>{}*]", host.removeprefix("*."))


def host_covers(one: str, other: str) -> bool:
    """Whether each host of `other` is surely one of `one`; ``""`` is every host."""
    if not one or one == other:
        return True
    return one.startswith("*.") and _is_plain(one) and _is_plain(other) and other.endswith(one[1:])


def hosts_overlap(one: str, other: str) -> bool:
    """Whether there may be a host of both."""
    if host_covers(one, other) or host_covers(other, one):
        return True
    return not (_is_plain(one) and _is_plain(other))


def both_hosts(outer: str, inner: str) -> str | None:
    """Return the hosts that are of both, for an app in a mount; None if there are none."""
    if host_covers(outer, inner):
        return inner
    if host_covers(inner, outer) or hosts_overlap(outer, inner):
        return outer
    return None
