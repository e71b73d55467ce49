"""The parts of the greenlet runner that are written in C: they are loaded if they are used."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from bridge.errors import ConfigError


def load_c_part(name: str, wanted_by: str, instead: str) -> ModuleType:
    """Import the module `name`, which needs them, or raise a `ConfigError` that says what to do."""
    try:
        return import_module(name)
    except ImportError as error:
        if error.name == "greenlet":
            raise ConfigError(
                f"{wanted_by} needs the package greenlet, which is not installed: "
                f"python -m pip install greenlet, or {instead}"
            ) from error
        raise ConfigError(
            f"{wanted_by} needs parts written in C that cannot be loaded: {error}; "
            "install asgi-bridge again where there are a C compiler and the headers of Python "
            f"(Debian: apt install gcc python3-dev), or {instead}"
        ) from error
