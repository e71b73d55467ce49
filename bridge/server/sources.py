"""Where settings come from: the command line beats the environment, which beats the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from bridge.errors import ConfigError
from bridge.server.config import SETTINGS, Config

#: Values by the setting's name, each with a label that names where it was found.
Layer: TypeAlias = dict[str, tuple[object, str]]

#: Variables of ours that are not settings.
_NO_SETTINGS = {"BRIDGE_CONFIG"}

_BY_NAME = {setting.name: setting for setting in SETTINGS}


def make_config(command_line: Layer, environ: Mapping[str, str], file: str | None) -> Config:
    """The settings of all sources together.

    `file` is what ``--config`` says. Without it ``BRIDGE_CONFIG`` names the file, and without
    that, ``[tool.bridge]`` of a pyproject.toml in the working directory is read where it is there.
    Raises `ConfigError` that names the source at fault.
    """
    layers = (
        from_file(file or environ.get("BRIDGE_CONFIG") or None),
        from_environ(environ),
        command_line,
    )
    chosen: Layer = {}
    for layer in layers:
        _let_go_of_hidden(chosen, layer)
        chosen.update(layer)
    return Config(**{name: _BY_NAME[name].read(*found) for name, found in chosen.items()})


def _let_go_of_hidden(chosen: Layer, stronger: Layer) -> None:
    """Drop what would hide, or contradict, what a stronger source says in other words.

    ``--port 9000`` must not be hidden by a `bind` in a file, nor ``module:attr`` contradict its
    mounts.
    """
    if ("host" in stronger or "port" in stronger) and "bind" not in stronger:
        chosen.pop("bind", None)
    if "app" in stronger:
        chosen.pop("mount", None)
    if "mount" in stronger:
        chosen.pop("app", None)


def from_environ(environ: Mapping[str, str]) -> Layer:
    """What environment variables say; an empty one says nothing."""
    layer: Layer = {}
    for setting in SETTINGS:
        for variable in setting.variables:
            if environ.get(variable):
                layer[setting.name] = (environ[variable], variable)
                break
    return layer


def unknown_variables(environ: Iterable[str]) -> list[str]:
    """Variables that look like settings of ours and are none, each as a line that says so."""
    known = {variable for setting in SETTINGS for variable in setting.variables} | _NO_SETTINGS
    return [
        f"{variable} is not a setting{_suggestion(variable, known)}; it is ignored"
        for variable in sorted(environ)
        if variable.startswith("BRIDGE_") and variable not in known
    ]


def from_file(file: str | None) -> Layer:
    """What a TOML file says: its table ``[tool.bridge]``, or all of it where it has none."""
    implicit = file is None
    path = Path(file or "pyproject.toml")
    if implicit and not path.exists():
        return {}
    document = _parse(path)
    match document:
        case {"tool": {"bridge": dict(table)}}:
            pass
        case _:
            table = {} if path.name == "pyproject.toml" else document
    return {_known(key, path): (value, f"{key} in {path}") for key, value in table.items()}


def _parse(path: Path) -> dict[str, Any]:
    import tomllib  # where there is a file; every worker would carry it along

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; see --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def _known(key: str, path: Path) -> str:
    name = key.replace("-", "_")
    if name not in _BY_NAME:
        raise ConfigError(f"{key} in {path} is not a setting{_suggestion(name, _BY_NAME)}")
    return name


def _suggestion(name: str, known: Iterable[str]) -> str:
    import difflib  # as with tomllib

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
