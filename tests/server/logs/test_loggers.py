"""The loggers: where lines go by default, and every way to configure them."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.logs.loggers import (
    coloured_status,
    configure_logging,
    in_colour,
    line_handler,
    reopen_log_files,
    write_lines,
)
from tests.conftest import StartHost
from tests.support.hosts import bridge

NAMES = ("bridge", "bridge.error", "bridge.access", "")


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in NAMES]
    saved = [(each.level, each.handlers[:], each.propagate, each.filters[:]) for each in loggers]
    for each in loggers[:-1]:
        each.handlers[:] = []
        each.propagate = True
    yield
    for each, (level, handlers, propagate, filters) in zip(loggers, saved, strict=True):
        each.setLevel(level)
        each.handlers[:] = handlers
        each.propagate = propagate
        each.filters[:] = filters


RUN = """
import logging, sys
from bridge.server.config.config import Config
from bridge.server.logs.loggers import configure_logging
configure_logging(Config(**eval(sys.argv[1])))
logging.getLogger("bridge.error").info("to the operator")
logging.getLogger("bridge.error").debug("a detail")
logging.getLogger("bridge.access").info("a request")
logging.getLogger("bridge.access").warning("100% odd")
"""


def run(**settings: Any) -> tuple[str, str]:
    """What a process with these settings writes to stdout and to stderr."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, repr(settings)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout, done.stderr


def test_streams() -> None:
    """S50, S51: requests go to standard output, everything else to standard error."""
    out, err = run()
    assert out == "a request\n100% odd\n"
    assert err.endswith("INFO: to the operator\n")
    assert err.count("\n") == 1


def test_levels() -> None:
    """S50: the level holds for all loggers."""
    out, err = run(log_level="debug")
    assert "DEBUG: a detail" in err
    assert out == "a request\n100% odd\n"
    assert run(log_level="warning") == ("100% odd\n", "")


def test_files(tmp_path: Path) -> None:
    """S50, O5: each log may go to a file, to which is added; `-` is the standard stream."""
    log, access = tmp_path / "log", tmp_path / "access"
    log.write_text("before\n")
    assert run(log_file=str(log), access_log_file=str(access)) == ("", "")
    assert access.read_text() == "a request\n100% odd\n"
    assert log.read_text().startswith("before\n")
    assert log.read_text().endswith("INFO: to the operator\n")
    out, err = run(log_file="-", access_log_file="-")
    assert (out, err.count("\n")) == ("a request\n100% odd\n", 1)


@pytest.mark.parametrize("name", ["log_file", "access_log_file"])
def test_a_file_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    """S50, O5: the error has the setting, the path, and what to do."""
    path = str(tmp_path / "none" / "log")
    said = f"{name} is {path!r}, which cannot be opened: No such file or directory; name a file in"
    with pytest.raises(ConfigError) as caught:
        configure_logging(Config(**{name: path}))
    assert str(caught.value).startswith(said)


def test_a_file_is_closed_when_it_is_replaced(tmp_path: Path) -> None:
    """S50: also one that is not used, because the program has a handler of its own."""
    configure_logging(Config(log_file=str(tmp_path / "log")))
    (handler,) = logging.getLogger("bridge").handlers
    assert isinstance(handler, logging.FileHandler)
    stream = handler.stream
    configure_logging(Config())
    assert stream.closed
    logging.getLogger("bridge").addHandler(logging.NullHandler())
    configure_logging(Config(log_file=str(tmp_path / "log")))
    assert len(logging.getLogger("bridge").handlers) == 2


def test_twice() -> None:
    """S50: configuring again replaces the handlers, it does not add to them."""
    configure_logging(Config())
    configure_logging(Config(log_level="error"))
    assert len(logging.getLogger("bridge").handlers) == 1
    assert len(logging.getLogger("bridge.access").handlers) == 1
    assert logging.getLogger("bridge").level == logging.ERROR


def test_handlers_of_a_program_are_kept() -> None:
    """S50: a program that serves from Python and has set the loggers up is not overruled."""
    logger = logging.getLogger("bridge.access")
    theirs = logging.StreamHandler(io.StringIO())
    logger.addHandler(theirs)
    configure_logging(Config())
    assert logger.handlers == [theirs]
    assert logger.propagate


def test_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """S51: levels are coloured on a terminal only."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    for stream, coloured in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        configure_logging(Config())
        logging.getLogger("bridge.error").info("running")
        assert ("\x1b[32mINFO\x1b[0m: running\n" in stream.getvalue()) is coloured
        assert stream.getvalue().endswith("running\n")


def test_coloured_status() -> None:
    """S50: each class of status has its colour, other numbers none."""
    assert len({coloured_status(status, "x") for status in (200, 301, 404, 500)}) == 4
    assert coloured_status(101, "101") == "101"


def test_straight_writing_only_where_it_is_the_same() -> None:
    """S50: lines bypass `logging` only where our handler is all that would see them."""
    configure_logging(Config())
    logger = logging.getLogger("bridge.access")
    handler = line_handler(logger)
    assert handler is not None
    handler.setLevel(logging.WARNING)
    assert line_handler(logger) is None
    handler.setLevel(logging.NOTSET)
    handler.addFilter(lambda record: True)
    assert line_handler(logger) is None
    handler.filters.clear()
    logger.propagate = True
    assert line_handler(logger) is None
    logger.propagate = False
    assert line_handler(logger) is handler
    logger.addHandler(logging.NullHandler())
    assert line_handler(logger) is None


def test_straight_writing_to_files(tmp_path: Path) -> None:
    """S50: a plain file is written straight too, once it is open; formats are never skipped."""
    logger = logging.getLogger("bridge.access")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler = logging.FileHandler(tmp_path / "access.log", delay=True)
    logger.addHandler(handler)
    assert line_handler(logger) is None
    logger.info("one")
    found = line_handler(logger)
    assert found is not None
    write_lines(found, ["two", "three"])
    assert (tmp_path / "access.log").read_text() == "one\ntwo\nthree\n"
    handler.setFormatter(logging.Formatter("%(message)s"))
    assert line_handler(logger) is handler
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    assert line_handler(logger) is None
    handler.close()


# ------------------------------------------------------------- log_config

TOML = """
[handlers.file]
class = "logging.FileHandler"
filename = "FILE"
formatter = "short"
[formatters.short]
format = "%(name)s %(message)s"
[loggers."bridge.access"]
handlers = ["file"]
[loggers."bridge.error"]
handlers = ["file"]
level = "ERROR"
"""

DICT = {
    "version": 1,
    "handlers": {
        "file": {"class": "logging.FileHandler", "filename": "FILE", "formatter": "short"}
    },
    "formatters": {"short": {"format": "%(name)s %(message)s"}},
    "loggers": {
        "bridge.access": {"handlers": ["file"]},
        "bridge.error": {"handlers": ["file"], "level": "ERROR"},
    },
}

YAML = """
version: 1
formatters: {short: {format: "%(name)s %(message)s"}}
handlers:
  file: {class: logging.FileHandler, filename: "FILE", formatter: short}
loggers:
  bridge.access: {handlers: [file]}
  bridge.error: {handlers: [file], level: ERROR}
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [("log.toml", TOML), ("log.json", json.dumps(DICT)), ("log.yaml", YAML), ("log.YML", YAML)],
)
def test_log_config(name: str, text: str, tmp_path: Path) -> None:
    """S50: log_config is logging's own configuration, as TOML, JSON or YAML."""
    path, log = tmp_path / name, tmp_path / "out.log"
    path.write_text(text.replace("FILE", str(log)))
    assert run(log_config=str(path)) == ("", "")
    assert log.read_text() == "bridge.access a request\nbridge.access 100% odd\n"


def test_log_config_as_a_dictionary(tmp_path: Path) -> None:
    """S50: from Python, log_config may be the dictionary itself."""
    log = tmp_path / "out.log"
    settings = json.loads(json.dumps(DICT).replace("FILE", str(log)))
    run(log_config=settings)
    assert log.read_text().startswith("bridge.access a request\n")


def test_log_config_keeps_other_loggers() -> None:
    """S50: loggers that an app made before are not switched off, unless it is said."""
    theirs = logging.getLogger("somebody.else")
    configure_logging(Config(log_config={}))
    assert not theirs.disabled


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("log.toml", "version = ", "log.toml is malformed"),
        ("log.json", "{", "log.json is malformed"),
        ("log.yaml", "a: [", "log.yaml is malformed"),
        ("log.json", "[]", "holds list"),
        ("log.ini", "[x]", "of no known kind; give .toml, .json"),
        ("log.json", '{"version": 2}', "no configuration of Python's logging"),
        (
            "log.json",
            '{"handlers": {"x": {"class": "no.such.Handler"}}}',
            "handler 'x'.*no.such",
        ),
        ("log.json", '{"loggers": {"bridge": {"level": "LOUD"}}}', "LOUD|bridge"),
    ],
)
def test_wrong_log_config(name: str, text: str, error: str, tmp_path: Path) -> None:
    """S50: a wrong log_config is the operator's error, and the text says what is wrong."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError, match=error):
        configure_logging(Config(log_config=str(path)))


def test_missing_log_config(tmp_path: Path) -> None:
    """S50: a file that is not there is named."""
    with pytest.raises(ConfigError, match=r"missing\.toml cannot be read: No such file"):
        configure_logging(Config(log_config=str(tmp_path / "missing.toml")))


def test_yaml_without_pyyaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S50: YAML needs PyYAML, and its lack is said plainly."""
    path = tmp_path / "log.yaml"
    path.write_text("version: 1")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigError, match="pip install pyyaml"):
        configure_logging(Config(log_config=str(path)))


# ------------------------------------------------------------- apps that configure logging

#: It says nothing of `disable_existing_loggers`, which is true then.
CONFIGURES = """
import logging, logging.config
def configure():
    logging.config.dictConfig({"version": 1, "root": {"handlers": []}})
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        AT_STARTUP
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b""})
AT_IMPORT
"""


def serve(start_host: StartHost, folder: Path, startup: str, at_import: str) -> str:
    """What a server of such an app says in its life, with one request."""
    source = CONFIGURES.replace("AT_STARTUP", startup).replace("AT_IMPORT", at_import)
    (folder / "configures.py").write_text(source)
    host = start_host(bridge("configures:app", "--app-dir", str(folder)))
    assert httpx.get(host.url()).status_code == 200
    assert host.stop() == 0
    return host.log().rstrip()


@pytest.mark.parametrize("code", [("configure()", ""), ("pass", "configure()")])
def test_an_app_that_configures_logging(
    tmp_path: Path, start_host: StartHost, code: tuple[str, str]
) -> None:
    """S50 S51: the server's loggers go on, which the app's configuration does not name."""
    said = serve(start_host, tmp_path, *code)
    assert "running on" in said
    assert '"GET / HTTP/1.1" 200' in said
    assert said.endswith("stopped")


def test_an_app_that_disables_the_access_log(tmp_path: Path, start_host: StartHost) -> None:
    """S50: an app that disables it by its name is obeyed."""
    off = "logging.getLogger('bridge.access').disabled = True"
    said = serve(start_host, tmp_path, "pass", off)
    assert said.endswith("stopped")
    assert "GET /" not in said


def test_that_no_log_file_has_moved(caplog: pytest.LogCaptureFixture) -> None:
    """P5: a line says it; with several processes it is for debugging, in all but one."""
    with caplog.at_level(logging.INFO, logger="bridge"):
        reopen_log_files(logging.DEBUG)
        assert not caplog.messages
        reopen_log_files()
        assert caplog.messages == ["SIGUSR1: no log file has moved"]


def test_log_files_that_somebody_has_closed(tmp_path: Path) -> None:
    """P5: a file that was closed behind its handler's back is opened again, as others are."""
    logger = logging.getLogger("tests.closed")
    handlers = [logging.FileHandler(tmp_path / name) for name in ("closed.log", "moved.log")]
    for handler in handlers:
        logger.addHandler(handler)
    try:
        handlers[0].stream.close()
        (tmp_path / "moved.log").rename(tmp_path / "old.log")
        reopen_log_files()
        logger.error("a word")
        reopen_log_files()  # none has moved any more
        logger.error("a second word")
        for name in ("closed.log", "moved.log"):
            assert (tmp_path / name).read_text() == "a word\na second word\n"
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


def test_log_files_without_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """P5: one that is opened with its first line waits for it; one that cannot be is reported."""
    logger = logging.getLogger("tests.streamless")
    (tmp_path / "folder").mkdir()
    late = logging.FileHandler(tmp_path / "late.log", delay=True)
    lost = logging.FileHandler(tmp_path / "folder" / "lost.log")
    for handler in (late, lost):
        logger.addHandler(handler)
    try:
        (tmp_path / "folder" / "lost.log").unlink()
        (tmp_path / "folder").rmdir()
        reopen_log_files()
        assert not (tmp_path / "late.log").exists()
        assert "No such file or directory" in capfd.readouterr().err
    finally:
        for handler in (late, lost):
            logger.removeHandler(handler)
            handler.close()


class NoTerminal:
    """Stands in for a standard stream, and knows little."""

    closed = False

    def write(self, text: str) -> int:
        return len(text)


def test_streams_that_are_no_terminals() -> None:
    """S50: what programs put in the place of standard streams gets no colours."""
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed, NoTerminal(), io.StringIO()):
        assert not in_colour(stream)  # type: ignore[arg-type]


OPENS = """
import os, sys
from bridge.server.logs.loggers import open_standard_descriptors
sys.stdin = sys.stdout = None
for number in (0, 1):
    os.close(number)
open_standard_descriptors()
null = os.stat(os.devnull)
assert all(os.path.samestat(os.fstat(number), null) for number in (0, 1))
assert os.get_inheritable(0)
print("to nobody")
sys.stderr.write(repr(sys.stdin.read()))
"""


def test_descriptors_that_are_closed() -> None:
    """S50: no connection gets the number of a standard stream, and the streams work."""
    done = subprocess.run([sys.executable, "-c", OPENS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "''")


class Full(io.StringIO):
    """A stream on a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_lines_that_cannot_be_written(capfd: pytest.CaptureFixture[str]) -> None:
    """S50: the request does not fail; the error is reported as `logging` reports it."""
    handler = logging.StreamHandler(Full())
    write_lines(handler, ["a line", "the last line"])
    said = capfd.readouterr().err
    assert "No space left on device" in said
    assert "the last line" in said


def test_a_handler_of_another_kind() -> None:
    """S50: lines are not written past a handler that does more than write them."""
    logger = logging.getLogger("tests.other")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    assert line_handler(logger) is None
    logger.handlers.clear()


SILENT = """
import logging
from bridge.server.config.config import Config
from bridge.server.logs.loggers import configure_logging, reenable_loggers
for name in ("bridge.error", "bridge.access"):
    logging.getLogger(name)
configure_logging(Config(log_config={"disable_existing_loggers": True}))
reenable_loggers()
print(*(logging.getLogger(name).disabled for name in ("bridge.error", "bridge.access")))
"""


def test_a_log_config_that_disables_our_loggers() -> None:
    """S50: what the server's own configuration disables stays so: that was meant."""
    done = subprocess.run(
        [sys.executable, "-c", SILENT], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "True True\n"
