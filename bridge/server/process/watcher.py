"""`--reload`: a process of its own watches files, and the supervisor reloads when one changes (P9).

The system tells of changes (inotify and its like), by watchfiles, whose thread the supervisor must
not have: it forks. The watcher ends when its end of the channel does, as a worker would (P7).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NoReturn

from bridge.errors import ConfigError
from bridge.log import logger
from bridge.server.config.config import Config
from bridge.server.network.listeners import Listener
from bridge.server.process.channel import Channel, ChannelClosed, Message
from bridge.server.process.forking import ForkingLoop

#: What is watched in any case, and what never is, unless it is included by name.
_INCLUDED: Final = ("*.py",)
_EXCLUDED: Final = (".*", "__pycache__", "node_modules", "*~", "*.py[cod]", "*.sw[px]")
#: Milliseconds between two looks whether the supervisor is still there.
_LOOK: Final = 200
#: Milliseconds after which a change is told, though more of them come all the time.
_LATEST: Final = 1600
#: The most files that are named in a line.
_MOST_NAMES: Final = 3


class Watcher:
    """The supervisor's side; `changed` is called when a file has, on its loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, changed: Callable[[], object]) -> None:
        self._loop = loop
        self._changed = changed
        self._channel: Channel | None = None
        self._pid = 0

    def start(
        self,
        config: Config,
        forking: ForkingLoop,
        listeners: Sequence[Listener],
        signals: Iterable[int],
    ) -> None:
        """Fork the watcher, if `config` wants one; it keeps no `listeners` open.

        Raises `ConfigError` if it cannot watch what it is to.
        """
        if not config.reload:
            return
        directories = watched_directories(config)
        ours, theirs = Channel.pair()

        def child() -> NoReturn:
            ours.close()
            for listener in listeners:
                listener.close()
            _restore_signals(signals)
            _watch(config, directories, theirs)
            os._exit(0)

        self._pid = forking.fork(child, signals)
        theirs.close()
        self._channel = ours
        self._loop.add_reader(ours.fileno(), self._receive)

    def close(self) -> None:
        """End the watcher."""
        if self._channel is not None:
            self._loop.remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def _receive(self) -> None:
        assert self._channel is not None
        try:
            messages = self._channel.receive()
        except ChannelClosed:
            self.close()
            logger.error("files are not watched any more: the process that did it has ended")
            return
        for message in messages:
            self._heed(message)

    def _heed(self, message: Message) -> None:
        match message:
            case {"type": "watching", "directories": [*directories]}:
                logger.info("watching for changes: %s", ", ".join(directories))
            case {"type": "failed", "error": str(error)}:
                logger.error("files cannot be watched: %s", error)
            case {"type": "changed", "files": [*files]}:
                named = ", ".join(files[:_MOST_NAMES])
                more = f" and {len(files) - _MOST_NAMES} more" if len(files) > _MOST_NAMES else ""
                logger.info("changed: %s%s", named, more)
                self._changed()


def watched_directories(config: Config) -> list[str]:
    """Return what is to be watched. Raises `ConfigError` if it is not there, or nothing can be."""
    if importlib.util.find_spec("watchfiles") is None:
        raise ConfigError(
            "reload is on, and the library that watches files is missing; install it: "
            "pip install 'asgi-bridge[reload]'"
        )
    own = [config.app_dir] if config.app_dir else []
    directories = [os.path.abspath(each) for each in config.reload_dir or (*own, ".")]
    for directory in directories:
        if not os.path.isdir(directory):
            raise ConfigError(
                f"reload_dir is {directory}, and there is no such directory; name one that is "
                "there, or leave it out, to have the working directory watched"
            )
    return list(dict.fromkeys(directories))


def concerns(
    path: str, directories: Sequence[str], include: Sequence[str], exclude: Sequence[str]
) -> bool:
    """Return whether a change of `path` is a reason to reload.

    A pattern is one of a file's name, of a directory on the way to it, or of a whole path.
    """
    way = _way(path, directories)
    if not _match(way[:1], (*_INCLUDED, *include)) or _match(way, exclude):
        return False
    return _match(way[:1], include) or not _match(way, _EXCLUDED)


def _way(path: str, directories: Sequence[str]) -> list[Path]:
    """Return the file, and the directories above it that are watched."""
    file = Path(path)
    above = [each for each in file.parents if not any(_holds(each, top) for top in directories)]
    return [file, *above]


def _holds(directory: Path, top: str) -> bool:
    """Return whether `directory` is `top`, or above it: its name says nothing of the file."""
    return Path(top).is_relative_to(directory)


def _match(way: Sequence[Path], patterns: Sequence[str]) -> bool:
    absolute = [os.path.abspath(each) if os.sep in each else each for each in patterns]
    return any(each.match(pattern) for each in way for pattern in absolute)


# ------------------------------------------------------------- the watcher's own process


def _restore_signals(signals: Iterable[int]) -> None:
    """End at SIGTERM; what the terminal sends is for the supervisor."""
    signal.set_wakeup_fd(-1)
    for number in signals:
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


def _watch(config: Config, directories: Sequence[str], channel: Channel) -> None:
    """Tell of changes until the supervisor is gone."""
    with contextlib.suppress(ChannelClosed):
        try:
            _tell_changes(config, directories, channel)
        except ChannelClosed:
            raise
        except Exception as error:  # too many files to be watched, for example
            channel.send({"type": "failed", "error": f"{type(error).__name__}: {error}"})


def _tell_changes(config: Config, directories: Sequence[str], channel: Channel) -> None:
    from watchfiles import watch  # an extra; and only this process needs it

    def wanted(change: object, path: str) -> bool:
        return concerns(path, directories, config.reload_include, config.reload_exclude)

    delay = max(round(config.reload_delay * 1000), 1)
    is_told = False
    for changes in watch(
        *directories,
        watch_filter=wanted,
        step=delay,
        debounce=max(delay, _LATEST),
        rust_timeout=_LOOK,
        yield_on_timeout=True,
    ):
        channel.receive()  # raises if the supervisor is gone
        if not is_told:
            is_told = True
            channel.send({"type": "watching", "directories": list(directories)})
        if changes:
            files = sorted({os.path.relpath(path) for _, path in changes})
            channel.send({"type": "changed", "files": files})
