"""The sources of settings: the command line beats the environment, which beats the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from bridge import accelerator
from bridge.arguments.checks import close_names
from bridge.errors import ConfigError
from bridge.server.config import other_servers
from bridge.server.config.config import SETTINGS, Config
from bridge.server.config.equivalents import equivalent

#: Setting's name -> its value, and a label that names the source.
Layer: TypeAlias = dict[str, tuple[object, str]]

#: Variables of ours that are not settings.
_NOT_SETTINGS = {"BRIDGE_CONFIG", accelerator.VARIABLE}

_BY_NAME = {setting.name: setting for setting in SETTINGS}

#: Names that may be close to a misspelled one: of settings, and of their other flags.
_KNOWN_NAMES = {
    flag.removeprefix("--").replace("-", "_"): setting.name
    for setting in SETTINGS
    for flag in (setting.flag, *setting.aliases)
}


def make_config(command_line: Layer, environ: Mapping[str, str], file: str | None) -> Config:
    """Merge the settings of all sources.

    `file` is the value of ``--config``. Without it ``BRIDGE_CONFIG`` names the file; without both,
    ``[tool.bridge]`` of a pyproject.toml in the working directory is read, if there is one. Raises
    `ConfigError`, which names the wrong source.
    """
    layers = (
        from_file(file or environ.get("BRIDGE_CONFIG") or None),
        from_environ(environ),
        command_line,
    )
    chosen: Layer = {}
    for layer in layers:
        _drop_overridden(chosen, layer)
        chosen.update(layer)
    return _config_of(chosen)


def from_python(app: object, settings: Mapping[str, Any]) -> Config:
    """Make a `Config` from the arguments of `bridge.serve`. Raises `ConfigError`."""
    for name in settings:
        if name not in _BY_NAME or name == "app":
            meant = _closest(name, _KNOWN_NAMES)
            raise ConfigError(
                f"serve() has no setting {name}; {_replacement(name) or _suggestion(meant)}"
            )
    sources = {name: f"serve({name}=...)" for name in settings}
    return Config(app=app, **settings, sources=sources)


def from_ini(app: object, settings: Mapping[str, str], environ: Mapping[str, str]) -> Config:
    """Make a `Config` from a ``[server:main]`` section, which beats the environment.

    Raises `ConfigError`, which names the wrong key.
    """
    given: Layer = {"app": (app, "[app:main]")}
    for key, value in settings.items():
        name = key.replace("-", "_")
        if name not in _BY_NAME or name == "app":
            meant = _closest(name, _KNOWN_NAMES)
            raise ConfigError(f"{key} is no setting; {_replacement(name) or _suggestion(meant)}")
        given[name] = value, f"{key} in [server:main]"
    chosen = from_environ(environ)
    _drop_overridden(chosen, given)
    chosen.update(given)
    return _config_of(chosen)


def _config_of(chosen: Layer) -> Config:
    values = {name: _BY_NAME[name].read(*found) for name, found in chosen.items()}
    return Config(**values, sources={name: label for name, (_, label) in chosen.items()})


def _drop_overridden(chosen: Layer, stronger: Layer) -> None:
    """Drop settings that would hide or contradict other settings of a stronger source.

    A `bind` in a file must not hide ``--port 9000``, and its mounts must not contradict a
    ``module:attr`` on the command line.
    """
    if ("host" in stronger or "port" in stronger) and "bind" not in stronger:
        chosen.pop("bind", None)
    for name in (ways := {"app", "mount", "cutover"}) & stronger.keys():
        for other in ways - {name} - stronger.keys():
            chosen.pop(other, None)


def from_environ(environ: Mapping[str, str]) -> Layer:
    """Read the environment variables; an empty one counts as not set."""
    layer: Layer = {}
    for setting in SETTINGS:
        for variable in setting.variables:
            if environ.get(variable) and not _is_service_link(variable, environ[variable]):
                layer[setting.name] = (environ[variable], variable)
                break
    return layer


#: What Kubernetes sets for each Service; the name of one may be `bridge`, or begin with it.
_SERVICE_LINK = re.compile(
    r"BRIDGE_(\w+?_)??(SERVICE_HOST|SERVICE_PORT(_\w+)?"
    r"|PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?|(?P<url>PORT))"
)
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://")


def _is_service_link(variable: str, value: str) -> bool:
    link = _SERVICE_LINK.fullmatch(variable)
    return link is not None and bool(not link["url"] or _SERVICE_URL.match(value))


def ignored_variables(environ: Mapping[str, str], command_line: Layer) -> list[str]:
    """Return a line for each variable that is ignored though it seems to be ours (S64)."""
    lines = []
    links = sorted(name for name, value in environ.items() if _is_service_link(name, value))
    if links:
        more = f" and {len(links) - 1} more" if len(links) > 1 else ""
        lines.append(
            f"ignored: {links[0]}{more}, set by Kubernetes for a Service whose name begins with "
            "bridge; enableServiceLinks: false in the pod keeps such variables away"
        )
    ours = {each.name for each in SETTINGS if environ.get(each.variables[0])}
    if theirs := other_servers.advice(environ, ours | command_line.keys()):
        lines.append(theirs)
    return lines + unknown_variables(set(environ) - set(links))


def unknown_variables(environ: Iterable[str]) -> list[str]:
    """Return a line for each variable that looks like a setting of ours, but is not one."""
    known = {variable for setting in SETTINGS for variable in setting.variables} | _NOT_SETTINGS
    lines = []
    for variable in sorted(environ):
        if variable.startswith("BRIDGE_") and variable not in known:
            name = variable.removeprefix("BRIDGE_").lower()
            meant = _closest(name, _KNOWN_NAMES | {"config": "config"})
            advice = _replacement(name) or _suggestion(meant and f"BRIDGE_{meant.upper()}")
            lines.append(f"{variable} is not a setting and is ignored; {advice}")
    return lines


def from_file(file: str | None) -> Layer:
    """Read a TOML file: its table ``[tool.bridge]``, or the whole file if it has none."""
    implicit = file is None
    path = Path(file or "pyproject.toml")
    if implicit and not path.exists():
        return {}
    document = _parse(path)
    _refuse_other_names(document, path)
    match document:
        case {"tool": {"bridge": dict(table)}}:
            pass
        case _:
            table = {} if path.name == "pyproject.toml" else document
    return {
        _setting_name(key, value, path): (_value(key, value, path), f"{key} in {path}")
        for key, value in table.items()
    }


def _value(key: str, value: object, path: Path) -> object:
    """Return the value of a setting; a table `cutover` means that its file is the one to read."""
    return str(path) if key == "cutover" and isinstance(value, dict) else value


def _parse(path: Path) -> dict[str, Any]:
    import tomllib  # only if there is a file: other processes need not load it

    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; name a TOML file with --config"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        theirs = (
            "; files in Python, such as Gunicorn's, are not read" if path.suffix == ".py" else ""
        )
        raise ConfigError(f"{path} is not TOML: {error}{theirs}") from error


#: For error texts: where settings are in a file.
_PLACES = "settings are in [tool.bridge] or, in a file of its own, without any table"


def _refuse_other_names(document: dict[str, Any], path: Path) -> None:
    """Raise `ConfigError` for a table with the distribution's name, which is a likely mistake."""
    for prefix, tables in (("", document), ("tool.", document.get("tool"))):
        for name in tables if isinstance(tables, dict) else ():
            if name.lower().replace("_", "-") == "asgi-bridge":
                raise ConfigError(f"[{prefix}{name}] in {path} is not read; {_PLACES}")


def _setting_name(key: str, value: object, path: Path) -> str:
    name = key.replace("-", "_")
    if name in _BY_NAME:
        return name
    meant = _closest(name, _KNOWN_NAMES)
    if meant is None and isinstance(value, dict):
        raise ConfigError(f"{key} in {path} is a table that is not read; {_PLACES}")
    raise ConfigError(
        f"{key} in {path} is not a setting; {_replacement(name) or _suggestion(meant)}"
    )


def _closest(name: str, known: Mapping[str, str]) -> str | None:
    """Return the setting that was probably meant by `name`; None if no name is close."""
    close = close_names(name, known)
    return known[close[0]] if close else None


def _replacement(name: str) -> str | None:
    """Return what to write instead if it is an option of uvicorn, Gunicorn or waitress."""
    return equivalent("--" + name.replace("_", "-")) if len(name) > 1 else None


def _suggestion(meant: str | None) -> str:
    return f"did you mean {meant}?" if meant else "asgi-bridge serve --help lists them all"
