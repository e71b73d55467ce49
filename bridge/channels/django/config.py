"""What the CONFIG of a channel layer in Django's settings says, in channels_redis's words, too.

A project that comes from channels_redis keeps its CONFIG as far as this layer does the same. What
it does not do is refused, with what to write instead: nothing is left out silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from bridge.errors import ConfigError

#: Where a Redis is if CONFIG does not say it; the same as for channels_redis.
DEFAULT_URL: Final = "redis://localhost:6379"

_EXAMPLE = '"CONFIG": {"url": "redis://localhost:6379/0"}'
_KEYS = (
    "url or hosts, prefix, expiry, group_expiry, capacity, channel_capacity and max_message_size"
)
#: The keys of a host that is a dict, beside its address.
_PARTS = {"host", "port", "db", "username", "password", "ssl"}


def address_from(url: object, others: Mapping[str, Any]) -> str:
    """Return the address of Redis that `url`, or ``hosts`` in `others`, says.

    Raises `ConfigError` for all that this layer does not do, and for keys that it does not know.
    """
    for key, value in others.items():
        if key not in _CHECKS:
            raise ConfigError(f"CONFIG of the channel layer has the key {key!r}; it knows {_KEYS}")
        _CHECKS[key](value)
    hosts = others.get("hosts")
    if url is not None and hosts:
        raise ConfigError("CONFIG of the channel layer has url and hosts; write one of the two")
    if url is None:
        return _from_host(hosts[0]) if hosts else DEFAULT_URL
    if not isinstance(url, str):
        raise ConfigError(f"url of the channel layer is {url!r:.120}, and must be text: {_EXAMPLE}")
    return url


def _from_host(host: Any) -> str:
    """Return the address that an entry of ``hosts`` means: text, a pair, or a dict."""
    match host:
        case str():
            return host
        case [str() as name, int() | str() as port]:
            return f"redis://{_in_url(name)}:{port}"
        case {"sentinels": _} | {"master_name": _}:
            raise ConfigError(
                "hosts of the channel layer names Redis Sentinels, and this layer asks none; write "
                f"the address of the Redis itself, or of a proxy that follows it: {_EXAMPLE}"
            )
        case {"address": str() as address} if len(host) == 1:
            return address
        case {"host": str()} if host.keys() <= _PARTS:
            return _from_parts(**host)
    raise ConfigError(
        f"hosts of the channel layer has {_without_secrets(host)!r:.200}; write it as an address, "
        f"with options of the connection as its query: {_EXAMPLE}"
    )


def _from_parts(
    *,
    host: str,
    port: int = 6379,
    db: int = 0,
    username: str | None = None,
    password: str | None = None,
    ssl: bool = False,
) -> str:
    login = quote(username or "", safe="")
    if password:
        login += ":" + quote(password, safe="")
    scheme = "rediss" if ssl else "redis"
    return f"{scheme}://{login + '@' if login else ''}{_in_url(host)}:{port}/{db}"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _without_secrets(host: Any) -> Any:
    if isinstance(host, dict):
        return {key: "..." if "pass" in str(key) else value for key, value in host.items()}
    return host


# ------------------------------------------------------------- keys of channels_redis


def _check_hosts(hosts: Any) -> None:
    if hosts is None:
        return
    if isinstance(hosts, str | bytes) or not isinstance(hosts, list | tuple):
        raise ConfigError(
            f"hosts of the channel layer is {_without_secrets(hosts)!r:.120}, and must be a list; "
            f"or write {_EXAMPLE}"
        )
    if len(hosts) > 1:
        raise ConfigError(
            f"hosts of the channel layer names {len(hosts)} Redis, and this layer uses one; write "
            f"{_EXAMPLE}. If one is too slow, use one for each entry of CHANNEL_LAYERS"
        )


def _check_encryption(keys: Any) -> None:
    if keys:
        raise ConfigError(
            "symmetric_encryption_keys is set, and this layer does not encrypt what stands in "
            "Redis; take the key out of CONFIG, and protect the way there with TLS and a password: "
            '"url": "rediss://:password@host:6379/0"'
        )


def _check_serializer(name: Any) -> None:
    if name != "msgpack":
        raise ConfigError(
            f"serializer_format is {name!r:.120}, and this layer writes msgpack, which takes all "
            "that JSON takes; take the key out of CONFIG"
        )


def _refuse_callback(name: str) -> Callable[[Any], None]:
    def check(callback: Any) -> None:
        if callback is not None:
            raise ConfigError(
                f"{name} is set, and this layer calls nothing; take the key out of CONFIG. The "
                "logger bridge.error tells when Redis is lost and back"
            )

    return check


_CHECKS: Final[dict[str, Callable[[Any], None]]] = {
    "hosts": _check_hosts,
    "symmetric_encryption_keys": _check_encryption,
    "serializer_format": _check_serializer,
    "random_prefix_length": lambda _: None,  # it keeps equal messages apart, as ours are anyway
    "on_disconnect": _refuse_callback("on_disconnect"),
    "on_reconnect": _refuse_callback("on_reconnect"),
}
