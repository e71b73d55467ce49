"""The settings of the next generation of workers, read again at a reload (P3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from bridge.errors import ConfigError
from bridge.log import logger
from bridge.server.config.config import Config

#: Reads the settings from where they came from. Raises `ConfigError`.
Reread: TypeAlias = Callable[[], Config]

#: What belongs to the supervisor, and stays as it was when that started.
FIXED: Final = (
    *("host", "port", "bind", "uds_mode", "backlog"),
    *("control_socket", "metrics_bind", "pid"),
    *("reload", "reload_dir", "reload_include", "reload_exclude", "reload_delay"),
)


def next_config(config: Config, reread: Reread | None) -> Config:
    """Return the settings for new workers; `config` are those of today.

    Raises `ConfigError` if nothing could be loaded again, or what is written there is wrong.
    """
    if reread is None:
        if config.app is not None and not isinstance(config.app, str):
            raise ConfigError(
                "the app was given as an object, and cannot be loaded again; name it: "
                'serve("module:attr", ...)'
            )
        return config
    try:
        new = reread()
    except (OSError, RecursionError) as error:  # the directory of the start is gone; nonsense
        raise ConfigError(f"the settings cannot be read: {error}") from error
    changed = [name for name in FIXED if getattr(new, name, None) != getattr(config, name, None)]
    if changed:
        logger.warning(
            "%s changed, and cannot change at a reload: restart the server for that",
            ", ".join(changed),
        )
        new = replace(new, **{name: getattr(config, name) for name in changed})
    return new
