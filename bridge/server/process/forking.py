"""A loop whose process can be forked: between two of its runs, so that no child is ever in it (P1).

A child shares what its parent has open, until the last of them closes it: a channel to another
worker, a control connection. And it would share the parent's epoll, and take descriptors out of it
when it closes them. So in a child /dev/null is put over each of them first.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, NoReturn, TypeVar

from bridge.errors import ConfigError

T = TypeVar("T")

#: What a child keeps of its parent's loop: thrown away, suspended tasks would run their `finally`.
_kept: Final[list[object]] = []
#: The pids of children that were forked here, in themselves.
_children: Final[set[int]] = set()


def refuse_fork_here(what: str) -> None:
    """Raise `ConfigError` if this program cannot be forked now; `what` wants to.

    A child has the thread that forked and no other, and whatever locks those held for ever.
    """
    if asyncio._get_running_loop() is not None:
        raise ConfigError(
            f"{what} forks processes, and an event loop runs here already; call it before "
            "asyncio.run, or serve with one process: await Server(Config(app=app)).serve()"
        )
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError(
            f"{what} forks processes and minds their signals, which only the main thread can; "
            f"call it there (this is the thread {threading.current_thread().name})"
        )
    if os.getpid() in _children:
        raise ConfigError(
            f"{what} was started again by the app, in one of its workers; if the module of the app "
            'calls serve(), put that below: if __name__ == "__main__":'
        )
    others = [each.name for each in threading.enumerate() if each is not threading.main_thread()]
    if others:
        raise ConfigError(
            f"{what} forks processes, and a fork is not safe when other threads run "
            f"({', '.join(others)}); start them in the app, which each worker imports itself"
        )


class ForkingLoop:
    """An asyncio loop of its own, which is nobody's current one, and forks of its process."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.loop = asyncio.SelectorEventLoop(self._selector)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end."""
        return self.loop.run_until_complete(work)

    def fork(self, child: Callable[[], NoReturn], signals: Iterable[int]) -> int:
        """Run `child` in a new process, and return its pid. Raises `OSError` if there is none.

        `signals` are held back in the child until it asks for them.
        """
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()  # else what is in there would be written twice
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        tasks = asyncio.all_tasks(self.loop)  # from Python 3.14 on a child knows of none
        try:
            pid = os.fork()
        except BaseException:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            raise
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            return pid
        try:
            _children.add(os.getpid())
            self._leave_behind(tasks)
            child()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)  # `child` has not done it: nothing of the parent's may run here

    def _leave_behind(self, tasks: set[asyncio.Task[Any]]) -> None:
        """In a child: have nothing open of what this loop has, and end none of its tasks."""
        _kept.extend(tasks)
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        watched = [key.fd for key in self._selector.get_map().values()]
        for descriptor in (*watched, self._selector.fileno()):
            os.dup2(null, descriptor, inheritable=False)
        os.close(null)
        self.loop.close()

    def close(self) -> None:
        """End it, and whatever tasks are left."""
        if asyncio._get_running_loop() is None:
            self.run(_end_tasks())
        self.loop.close()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=1)
