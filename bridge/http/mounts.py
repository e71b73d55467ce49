"""Which mount takes a request: by its host, its path, and what it is like (D1, D6, D8).

Mounts of a host name go before those of a wildcard, and these before those of every host. Of these
the longest prefix wins that the path has, at a segment boundary; at one prefix the first mount
whose predicate says yes. A mount is any object that tells its place: see `Mounted`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from bridge.caches import Memo, key_up_to
from bridge.errors import ConfigError
from bridge.http.paths import mount_point

#: Characters of a host name (RFC 1035 §2.3.4); a longer one is nobody's.
_LONGEST_HOST: Final = 253

#: Makes the request that predicates are asked with; called only if one is asked.
RequestFactory: TypeAlias = Callable[[], Any]


class Mounted(Protocol):
    """A mount, as far as it is known here."""

    #: How errors name it.
    name: str
    app: Any
    #: ``""`` for every host, a name in lower case, or ``*.name``.
    host: str
    #: ``""`` for the whole site, else with a slash in front and none at the end.
    prefix: str
    #: Says whether this mount takes a request; None takes all.
    when: Callable[[Any], bool] | None


M = TypeVar("M", bound=Mounted)


def parse_mount_key(key: object) -> tuple[str, str]:
    """The host and the prefix of a mount's key, ``/prefix`` or ``host/prefix``.

    Raises `ConfigError` for a key that is neither.
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
    """The name in a Host field: lower case, without port and final dot."""
    name, colon, port = host.lower().rpartition(":")
    if not colon or port.endswith("]"):
        name = host.lower()
    return name.removesuffix(".")


def _host_keys(name: str) -> Iterator[str]:
    """The keys that mounts for a host may have: its name, wildcards from the longest, any host."""
    if len(name) <= _LONGEST_HOST:
        yield name
        labels = name.split(".")
        for at in range(1, len(labels)):
            yield "*." + ".".join(labels[at:])
    yield ""


class MountTable(Generic[M]):
    """All mounts of a dispatcher. Raises `ConfigError` for one that would never be asked."""

    def __init__(self, mounts: Iterable[M]) -> None:
        self._everywhere: _PrefixTable[M] = _PrefixTable()
        self._by_host = {"": self._everywhere}
        #: Some mount has a predicate.
        self.uses_request = False
        for mount in mounts:
            self._by_host.setdefault(mount.host, _PrefixTable()).add(mount)
            self.uses_request = self.uses_request or mount.when is not None
        #: Some mount is for some hosts only.
        self.uses_host = len(self._by_host) > 1
        #: Nothing but the path counts, so that `by_path` may be used.
        self.path_only = not self.uses_host and not self.uses_request
        #: What `find` gives for a path. Subscript it.
        self.by_path: Memo[str, M | None] = Memo(self._everywhere.find, key_up_to(64))

    def find(self, path: str, host: str, request: RequestFactory | None) -> M | None:
        """The mount that takes `path`, which begins below the dispatcher's own place.

        `host` is the Host field. Without `request` no mount that has a predicate is found.
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
        self._longest = 0

    def add(self, mount: M) -> None:
        there = self._by_prefix.setdefault(mount.prefix, [])
        if there and there[-1].when is None:
            raise ConfigError(
                f"{mount.name} would never be asked: {there[-1].app!r} takes everything there"
            )
        there.append(mount)
        self._longest = max(self._longest, len(mount.prefix))

    def find(self, path: str, request: RequestFactory | None = None) -> M | None:
        """The mount with the longest prefix; its cost does not grow with the path's length."""
        prefix = path
        if len(path) > self._longest:
            cut = path.rfind("/", 0, self._longest + 1)
            prefix = path[:cut] if cut > 0 else ""
        while True:
            for mount in self._by_prefix.get(prefix, ()):
                if mount.when is None or (request is not None and mount.when(request())):
                    return mount
            if not prefix:
                return None
            prefix = prefix[: max(prefix.rfind("/"), 0)]
