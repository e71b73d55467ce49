"""The server's loggers, and the streams that they write to (S50, S51).

    logger          what                                          to, by default
    bridge          parent of the others; has the level           standard error
    bridge.error    start, stop, errors                           (through `bridge`)
    bridge.access   one line for each request                     standard output

They are ordinary loggers of the standard library. `log_config` configures them like any other, and
handlers that a program added before the server starts are kept.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TextIO, TypeAlias

from bridge.errors import ConfigError
from bridge.log import logger
from bridge.server.config.config import Config
from bridge.server.logs.whole_lines import WholeLines, WholeLinesFile, write_whole

#: A handler of the standard library that writes lines to a stream, or to a file.
LineHandler: TypeAlias = logging.StreamHandler[Any]

_LINE_HANDLERS: Final = (
    logging.StreamHandler,
    logging.FileHandler,
    WholeLines,
    WholeLinesFile,
)

_LINE: Final = "%(asctime)s [%(process)d] %(levelname)s: %(message)s"
_TIME: Final = "%Y-%m-%d %H:%M:%S %z"

_RESET: Final = "\x1b[0m"
_LEVEL_COLOURS: Final = {
    logging.DEBUG: "\x1b[36m",
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}
#: By the first digit of a status.
_STATUS_COLOURS: Final = {2: "\x1b[32m", 3: "\x1b[36m", 4: "\x1b[33m", 5: "\x1b[31m"}


_LOGGERS: Final = ("bridge", "bridge.error", "bridge.access", "bridge.websocket")
#: Those that `log_config` has disabled, on purpose.
_silenced: set[str] = set()


class _ColourFormatter(logging.Formatter):
    """Formats lines as usual, with the name of the level in colour."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        colour = _LEVEL_COLOURS.get(record.levelno, "")
        plain, record.levelname = record.levelname, f"{colour}{record.levelname}{_RESET}"
        try:
            return super().formatMessage(record)
        finally:
            record.levelname = plain


def configure_logging(config: Config) -> None:
    """Set up the loggers as `config` says. Call it once, before anything is logged.

    Raises `ConfigError` for a `log_config` that cannot be read or is not a configuration.
    """
    level = config.log_level.upper()
    logging.getLogger("bridge").setLevel(level)
    _silenced.clear()
    if config.log_config is not None:
        _apply(config.log_config)
        _silenced.update(name for name in _LOGGERS if logging.getLogger(name).disabled)
        return
    log, access = _path(config.log_file), _path(config.access_log_file)
    colour = log is None and in_colour(sys.stderr)
    formatter = _ColourFormatter if colour else logging.Formatter
    with _telling(config, "log_file"):
        _install_handler("bridge", _handler(sys.stderr, log), formatter(_LINE, _TIME))
    with _telling(config, "access_log_file"):
        plain = logging.Formatter("%(message)s")
        _install_handler("bridge.access", _handler(sys.stdout, access), plain)


def lose_what_waits() -> None:
    """Have lines lost that nobody takes soon, in a process that all others depend on."""
    for handler in logging.getLogger("bridge").handlers:
        if isinstance(handler, WholeLines):
            handler.lose_what_waits()


def reenable_loggers() -> None:
    """Enable the server's loggers again if the app has disabled them by accident.

    By default `logging.config` disables all loggers that a configuration does not name, and apps
    configure logging at import, at startup, or later. If only the access log is disabled, the app
    did so on purpose, and it stays disabled.
    """
    if logging.getLogger("bridge").disabled or logger.disabled:
        for name in _LOGGERS:
            if name not in _silenced:
                logging.getLogger(name).disabled = False


def _path(file: str | None) -> str | None:
    """Return the path of a log file; None for a standard stream."""
    return None if file in (None, "-") else file


@contextmanager
def _telling(config: Config, name: str) -> Iterator[None]:
    """Raise `ConfigError` for the log file of the setting `name` that cannot be opened."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{config.source(name)} is {getattr(config, name)!r}, which cannot be opened: "
            f"{error.strerror}; name a file in a directory that this user may write to"
        ) from error


def _handler(stream: TextIO | None, path: str | None) -> logging.Handler:
    """Make a handler for the file at `path`, or else for `stream`; a daemon has none."""
    if path is not None:
        return WholeLinesFile(path, encoding="utf-8")
    gone = stream is None or getattr(stream, "closed", False)
    return logging.NullHandler() if gone else WholeLines(stream)


def open_standard_descriptors() -> None:
    """Open /dev/null as those of the descriptors 0 to 2 that are closed. Call it first of all.

    Otherwise a connection could get such a number, and what a library writes to standard error
    would be sent to a client. Streams of `sys` that are None for this reason are opened too.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number
            os.set_inheritable(opened, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115


def reopen_log_files(idle_level: int = logging.INFO) -> None:
    """Open the files of all loggers again, after they have been rotated (SIGUSR1).

    A file that is still at its path is left alone. If all of them are, a line of `idle_level` says
    so.
    """
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = {
        handler: None
        for logger in loggers
        if isinstance(logger, logging.Logger)
        for handler in logger.handlers
        if isinstance(handler, logging.FileHandler)
    }
    opened = [handler.baseFilename for handler in handlers if _reopen(handler)]
    if opened:
        logger.info("SIGUSR1: opened again: %s", ", ".join(opened))
    else:
        logger.log(idle_level, "SIGUSR1: no log file has moved")


def _reopen(handler: logging.FileHandler) -> bool:
    """Make `handler` write to the file at its path now; return whether it is another file."""
    handler.acquire()
    try:
        stream = handler.stream
        if stream is None:
            return False
        if not getattr(stream, "closed", False) and _is_at(stream, handler.baseFilename):
            return False
        handler.stream = handler._open()
        stream.close()
        return True
    except OSError:
        handler.handleError(logging.makeLogRecord({"msg": handler.baseFilename}))
        return False
    finally:
        handler.release()


def _is_at(stream: TextIO, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def in_colour(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal, and NO_COLOR is not set (no-color.org).

    A program may have replaced a standard stream by an object without `isatty`, or closed it.
    """
    try:
        return stream is not None and stream.isatty() and not os.environ.get("NO_COLOR")
    except (AttributeError, ValueError):
        return False


def coloured_status(status: int, text: str) -> str:
    """Return `text` in the colour of the HTTP status `status`."""
    colour = _STATUS_COLOURS.get(status // 100)
    return f"{colour}{text}{_RESET}" if colour else text


def line_handler(logger: logging.Logger) -> LineHandler | None:
    """Return the handler of `logger` if it is the only one and plain; else None.

    Plain: it writes each message unchanged as a line to a stream or file. Then `write_lines` has
    the same effect as logging the lines, in a tenth of the time.
    """
    handlers = logger.handlers
    if len(handlers) != 1 or logger.propagate or logger.filters:
        return None
    handler = handlers[0]
    if type(handler) not in _LINE_HANDLERS:
        return None
    assert isinstance(handler, logging.StreamHandler)
    formatter = handler.formatter
    plain = formatter is None or (
        type(formatter) is logging.Formatter and formatter._fmt == "%(message)s"
    )
    # A handler with `delay` has no stream before its first line: `logging` opens the file.
    if not plain or handler.filters or handler.level > logging.INFO or handler.stream is None:
        return None
    return handler


def write_lines(handler: LineHandler, lines: Sequence[str]) -> None:
    """Write `lines`, given without newlines; errors are reported as `logging` does."""
    handler.acquire()
    try:
        write_whole(handler.stream, "\n".join(lines) + "\n")
    except Exception:
        handler.handleError(logging.makeLogRecord({"msg": lines[-1], "levelno": logging.INFO}))
    finally:
        handler.release()


def _install_handler(name: str, handler: logging.Handler, formatter: logging.Formatter) -> None:
    """Make `handler` the only one of this logger, unless the program has added one."""
    logger = logging.getLogger(name)
    ours = [old for old in logger.handlers if getattr(old, "of_bridge", False)]
    if len(logger.handlers) > len(ours):
        handler.close()
        return
    for old in ours:
        logger.removeHandler(old)
        old.close()
    handler.of_bridge = True  # type: ignore[attr-defined]
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    logger.propagate = False


# ------------------------------------------------------------- log_config


def _apply(source: str | dict[str, Any]) -> None:
    """Configure `logging` from a dictionary, or from the file that holds one.

    Existing loggers are not disabled, unless the configuration says so.
    """
    name = source if isinstance(source, str) else "log_config"
    settings = read_log_config(source) if isinstance(source, str) else source
    if not isinstance(settings, dict):
        raise ConfigError(
            f"{name} holds {type(settings).__name__}, and must hold a table of settings"
        )
    from logging.config import dictConfig  # only imported for this: 1 MB

    try:
        dictConfig({"version": 1, "disable_existing_loggers": False, **settings})
    except (ValueError, TypeError, AttributeError, ImportError) as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""
        raise ConfigError(
            f"{name} is no configuration of Python's logging ({error}{cause}); see "
            "https://docs.python.org/3/library/logging.config.html#logging-config-dictschema"
        ) from error


def read_log_config(name: str) -> Any:
    """Read the file of a `log_config`. Raises `ConfigError`."""
    path = Path(name)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(f"log_config {name} is of no known kind; give {', '.join(_READERS)}")
    try:
        return reader(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"log_config {name} cannot be read: {error.strerror}; name a file that is there"
        ) from error
    except ValueError as error:
        raise ConfigError(f"log_config {name} is malformed: {error}") from error


def _json(text: str) -> Any:
    return import_module("json").loads(text)


def _toml(text: str) -> Any:
    return import_module("tomllib").loads(text)


def _yaml(text: str) -> Any:
    try:
        yaml = import_module("yaml")
    except ImportError:
        raise ConfigError(
            "log_config is YAML, which PyYAML reads: pip install pyyaml, or write TOML or JSON"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from error


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    ".toml": _toml,
    ".json": _json,
    ".yaml": _yaml,
    ".yml": _yaml,
}
