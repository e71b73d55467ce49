"""What uvicorn and Gunicorn read from the environment, in the words of this server (O5).

``UVICORN_PORT=9000`` and ``GUNICORN_CMD_ARGS="--timeout 60"`` have no effect here. Who sets them
means something by it, and is told what to set instead.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping

from bridge.errors import ConfigError
from bridge.server.config.config import SETTINGS
from bridge.server.config.equivalents import COMMAND_LINE, GUNICORN, UVICORN
from bridge.server.config.setting import Setting

_VARIABLE = re.compile(r"UVICORN_\w+|GUNICORN_CMD_ARGS")

#: An option -> its setting; a flag that switches it off is in `_OFF`.
_SETTINGS = {flag: each for each in SETTINGS for flag in each.flags if each.name != "app"}
_OFF = {
    f"--no-{each.flag.removeprefix('--')}": each
    for each in SETTINGS
    if isinstance(each.default, bool)
}
_APP = next(each for each in SETTINGS if each.name == "app")
#: Options that are no settings -> the start of what to set.
_OTHERS = {
    "--uds": "BRIDGE_BIND=unix:",
    "--fd": "BRIDGE_BIND=fd://",
    "-c": "BRIDGE_CONFIG=",
    "--config": "BRIDGE_CONFIG=",
}


def advice(environ: Mapping[str, str], said: Collection[str]) -> str | None:
    """Return a line about the variables of other servers; None if there are none.

    `said`: the settings that this server was given by a name of its own. They are not advised.
    """
    theirs = [name for name in sorted(environ) if _VARIABLE.fullmatch(name) and environ[name]]
    if not theirs:
        return None
    assignments: dict[str, list[str]] = {}
    remarks: dict[str, str] = {}
    for variable in theirs:
        for option, value in _options(variable, environ[variable]):
            setting = _OFF.get(option) or _SETTINGS.get(option) or (None if option else _APP)
            if setting is None or setting.name not in said:
                _translate(option, value, setting, assignments, remarks)
    line = f"ignored: {', '.join(theirs)}, of another server"
    if assignments:
        line += "; say instead " + " ".join(
            f"{start}{','.join(values)}" for start, values in assignments.items()
        )
    elif not remarks:
        line += "; every option of this one is also BRIDGE_OPTION in the environment"
    return "; ".join([line, *remarks.values()])


def _options(variable: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield each option that the variable holds, and its value; an app's option is empty."""
    if variable != "GUNICORN_CMD_ARGS":
        name = variable.removeprefix("UVICORN_").lower()
        yield "" if name == "app" else "--" + name.replace("_", "-"), text
        return
    try:
        words = shlex.split(text)
    except ValueError:
        return
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            yield "", word
            continue
        option, equals, value = word.partition("=")
        if not word.startswith("--"):
            option, value = word[:2], word[2:].removeprefix("=")
        if not equals and not value and words and _takes_value(option, words[0]):
            value = words.pop(0)
        yield option, value


def _takes_value(option: str, following: str) -> bool:
    setting = _SETTINGS.get(option)
    if setting is not None:
        return not isinstance(setting.default, bool)
    return not following.startswith("-")


def _translate(
    option: str,
    value: str,
    setting: Setting | None,
    assignments: dict[str, list[str]],
    remarks: dict[str, str],
) -> None:
    """Add what to set instead of an option to `assignments`, or what to say to `remarks`."""
    if option in _OTHERS:
        assignments.setdefault(_OTHERS[option], []).append(shlex.quote(value))
    elif setting is None:
        answer = UVICORN.get(option) or GUNICORN.get(option) or COMMAND_LINE.get(option)
        if answer is not None:
            remarks[answer] = f"{option}: {answer}"
    elif isinstance(setting.default, bool):
        on = "no" if option in _OFF or _is_off(setting, value) else "yes"
        assignments[f"{setting.variables[0]}="] = [on]
    else:
        try:
            setting.read(value, option)
        except ConfigError as error:
            remarks[option] = str(error)
        else:
            shown = "..." if setting.secret else shlex.quote(value)
            start = f"{setting.variables[0]}="
            known = assignments.get(start, []) if setting.many else []
            assignments[start] = [*known, shown]


def _is_off(setting: Setting, value: str) -> bool:
    try:
        return bool(value) and not setting.read(value, "")
    except ConfigError:
        return False
