"""Which mount gets a request: by its host, its path, and a predicate (D1, D6, D8).

Mounts for a host name come before those for a wildcard, and these before mounts for every host.
Among them the longest prefix of the path wins, cut at a segment boundary; among mounts with the
same prefix the first one whose predicate is true. A mount is any object with the attributes of
`Mounted`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from bridge.errors import ConfigError, shown
from bridge.http.paths import mount_point

#: The most characters of a host name (RFC 1035 §2.3.4); a longer one matches no mount.
_LONGEST_HOST: Final = 253

#: Makes the request object that predicates get; called only if there is a predicate to ask.
RequestFactory: TypeAlias = Callable[[], Any]


class Mounted(Protocol):
    """What a `MountTable` needs to know of a mount."""

    #: How errors name it.
    name: str
    app: Any
    #: ``""`` for every host, a name in lower case, or ``*.name``.
    host: str
    #: ``""`` for the whole site, else with a slash in front and none at the end.
    prefix: str
    #: The predicate: whether this mount takes a request. None takes every request.
    when: Callable[[Any], bool] | None


M = TypeVar("M", bound=Mounted)


def parse_mount_key(key: object) -> tuple[str, str]:
    """Split a mount's key, ``/prefix`` or ``host/prefix``, into host and prefix.

    Raises `ConfigError` for a key of another form.
    """
    if not isinstance(key, str):
        raise ConfigError(f"cannot mount at {key!r}: write /prefix, as text")
    host, slash, prefix = key.partition("/")
    if not slash:
        raise ConfigError(f"cannot mount at {key!r}: write /prefix, or host.name/prefix")
    if host_name(host) != host.lower() or "*" in host.removeprefix("*."):
        raise ConfigError(
            f"cannot mount at {key!r}: {host!r} is no host name; write name or *.name, without a "
            "port"
        )
    return host.lower(), mount_point(slash + prefix)


def host_name(host: str) -> str:
    """Return the name in a Host field, in lower case, without the port and a final dot."""
    name, colon, port = host.lower().rpartition(":")
    if not colon or port.endswith("]"):
        name = host.lower()
    return name.removesuffix(".")


def _host_keys(name: str) -> Iterator[str]:
    """Yield the keys under which mounts for a host are found: name, wildcards, then every host."""
    if len(name) <= _LONGEST_HOST:
        yield name
        labels = name.split(".")
        for at in range(1, len(labels)):
            yield "*." + ".".join(labels[at:])
    yield ""


class MountTable(Generic[M]):
    """All mounts of a dispatcher. Raises `ConfigError` for a mount that could get no request."""

    def __init__(self, mounts: Iterable[M]) -> None:
        self._everywhere: _PrefixTable[M] = _PrefixTable()
        self._by_host = {"": self._everywhere}
        #: Some mount has a predicate.
        self.uses_request = False
        for mount in mounts:
            self._by_host.setdefault(mount.host, _PrefixTable()).add(mount)
            self.uses_request = self.uses_request or mount.when is not None
        #: Characters of a path that tell its mount, if only the path decides: those of the longest
        #: prefix, and the slash behind it.
        self.deciding = self._everywhere.longest + 1
        #: Some mount is for some hosts only.
        self.uses_host = len(self._by_host) > 1

    def find(self, path: str, host: str = "", request: RequestFactory | None = None) -> M | None:
        """Return the mount that takes `path`; None if there is none.

        `path` is what is left below the dispatcher's own mount point, `host` the Host field.
        Without `request`, mounts that have a predicate are skipped.
        """
        if not self.uses_host:
            return self._everywhere.find(path, request)
        for key in _host_keys(host_name(host)):
            table = self._by_host.get(key)
            found = table.find(path, request) if table else None
            if found is not None:
                return found
        return None


class _PrefixTable(Generic[M]):
    """The mounts of one host name, found by prefix."""

    def __init__(self) -> None:
        self._by_prefix: dict[str, list[M]] = {}
        #: Characters of the longest prefix.
        self.longest = 0

    def add(self, mount: M) -> None:
        there = self._by_prefix.setdefault(mount.prefix, [])
        if there and there[-1].when is None:
            raise ConfigError(
                f"{mount.name} would never be asked: {shown(there[-1].app)} takes everything "
                "there; name it before that one, with when=, or leave it out"
            )
        there.append(mount)
        self.longest = max(self.longest, len(mount.prefix))

    def find(self, path: str, request: RequestFactory | None = None) -> M | None:
        """Return the mount with the longest prefix; the cost does not grow with the path."""
        prefix = path
        if len(path) > self.longest:
            cut = path.rfind("/", 0, self.longest + 1)
            prefix = path[:cut] if cut > 0 else ""
        while True:
            for mount in self._by_prefix.get(prefix, ()):
                if mount.when is None or (request is not None and mount.when(request())):
                    return mount
            if not prefix:
                return None
            prefix = prefix[: max(prefix.rfind("/"), 0)]
