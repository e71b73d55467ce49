"""Forks of a process that has a loop; each is done by a program of its own."""

from __future__ import annotations

import textwrap

import pytest

from tests.support import programs

HEAD = """
import asyncio, os, signal, socket, sys, threading, time
from bridge.errors import ConfigError
from bridge.server.process.forking import ForkingLoop, refuse_fork_here
"""


def run(program: str) -> str:
    """Run a program to its end, and return what it prints."""
    return programs.run(HEAD, program)


def test_a_child_has_nothing_open_of_its_parents_loop() -> None:
    """P7: a channel ends with the process at its other end, whoever was forked meanwhile."""
    assert "the parent still reads: b'x'" in run(
        """
        forking = ForkingLoop()
        ours, theirs = socket.socketpair()
        forking.loop.add_reader(ours, lambda: None)
        told, tell = os.pipe()

        def child():
            own = os.fstat(ours.fileno())
            assert os.path.samestat(own, os.stat(os.devnull)), own
            assert forking.loop.is_closed()
            ours.close()
            os.write(tell, b"x")
            time.sleep(60)

        pid = forking.fork(child, [signal.SIGTERM])
        try:
            assert os.read(told, 1) == b"x"
            theirs.send(b"x")
            print("the parent still reads:", ours.recv(1))
            ours.close()
            assert theirs.recv(1) == b""  # the child does not keep it open
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        forking.loop.call_soon(print, "and its loop still runs")
        forking.run(asyncio.sleep(0))
        forking.close()
        """
    )


def test_what_the_parent_has_begun_is_not_ended_in_the_child() -> None:
    """A suspended task would run its `finally` there: it might remove the parent's files."""
    shown = run(
        """
        import gc
        forking = ForkingLoop()

        async def suspended():
            try:
                await asyncio.sleep(60)
            finally:
                print("ended in", "the child" if os.getpid() != parent else "the parent")

        async def begin():
            forking.task = asyncio.ensure_future(suspended())
            await asyncio.sleep(0)

        def child():
            del forking.task
            gc.collect()
            sys.stdout.flush()
            os._exit(0)

        parent = os.getpid()
        forking.run(begin())
        pid = forking.fork(child, [])
        os.waitpid(pid, 0)
        forking.close()
        """
    )
    assert shown == "ended in the parent\n"


def test_one_that_is_not_needed_after_all_is_closed_anywhere() -> None:
    """Also where another loop runs."""
    assert "closed" in run(
        """
        async def main():
            forking = ForkingLoop()
            forking.close()
            assert forking.loop.is_closed()
            print("closed")

        asyncio.run(main())
        """
    )


def test_signals_are_held_back_in_the_child_until_it_wants_them() -> None:
    """P2: one that comes before the child has handlers is not lost, and kills nobody."""
    shown = run(
        """
        forking = ForkingLoop()
        ready, tell = os.pipe()

        def child():
            os.read(ready, 1)
            signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            os._exit(0)

        pid = forking.fork(child, [signal.SIGTERM])
        os.kill(pid, signal.SIGTERM)
        os.write(tell, b"x")
        assert os.waitpid(pid, 0)[1] == 0
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
        forking.close()
        """
    )
    assert shown == "told\n"


def test_a_child_that_fails_does_not_run_its_parents_code() -> None:
    """P1: it prints why, and ends; what was printed before the fork is printed once."""
    shown = run(
        """
        forking = ForkingLoop()
        print("before")

        def child():
            raise ValueError("no such thing")

        pid = forking.fork(child, [])
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
        print("after")
        forking.close()
        """
    )
    assert shown.count("before") == shown.count("after") == 1
    assert "ValueError: no such thing" in shown


def test_a_fork_that_the_system_refuses() -> None:
    """P1: the caller is told, and the parent's signals are as they were."""
    shown = run(
        """
        def fork():
            raise BlockingIOError(11, "Resource temporarily unavailable")

        os.fork = fork
        sys.stdout.close()
        forking = ForkingLoop()
        try:
            forking.fork(sys.exit, [signal.SIGTERM])
        except OSError as error:
            print(error, file=sys.stderr)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
        forking.close()
        """
    )
    assert "Resource temporarily unavailable" in shown


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("refuse_fork_here('serve()')", ""),
        (
            """
            async def main():
                refuse_fork_here('serve()')
            asyncio.run(main())
            """,
            "serve() forks processes, and an event loop runs here already",
        ),
        (
            """
            thread = threading.Thread(target=time.sleep, args=(60,), daemon=True, name="of-the-app")
            thread.start()
            refuse_fork_here('serve()')
            """,
            "a fork is not safe when other threads run (of-the-app)",
        ),
        (
            """
            seen = []
            def try_it():
                try:
                    refuse_fork_here('serve()')
                except ConfigError as error:
                    seen.append(error)
            thread = threading.Thread(target=try_it, name="second")
            thread.start()
            thread.join()
            raise seen[0]
            """,
            "which only the main thread can; call it there (this is the thread second)",
        ),
    ],
)
def test_where_no_process_can_be_forked(program: str, said: str) -> None:
    """P1: each case is told, with what to do."""
    body = textwrap.indent(textwrap.dedent(program), "    ")
    shown = run(f"try:\n{body}\nexcept ConfigError as error:\n    print(error)\n")
    assert said in shown if said else shown == ""


def test_a_child_has_no_workers_of_its_own() -> None:
    """P1: an app whose module calls `serve` would start a server in its worker."""
    assert "if __name__ ==" in run(
        """
        def child():
            try:
                refuse_fork_here("a server")
            except ConfigError as error:
                print(error, flush=True)
            os._exit(0)

        refuse_fork_here("a server")
        os.waitpid(ForkingLoop().fork(child, []), 0)
        """
    )
