"""A template: what it does by order, and what goes wrong; each test forks in a program."""

from __future__ import annotations

import json
import os
import socket

from bridge.server.config.config import Config
from bridge.server.network.load_board import LoadBoard
from bridge.server.process.preload.template import Template
from tests.support.preloading import run


def test_workers_of_a_template_start() -> None:
    """P11: each says that it has started, though it has not imported the app itself."""
    shown = run(
        """
        template = order(0).pid
        wait_for(1, heard)
        order(1)
        wait_for(2, heard)
        assert [(slot, each["type"]) for slot, each in heard] == [(0, "started"), (1, "started")]
        templates.reopen_logs()
        order(2)
        wait_for(3)
        templates.close()
        """
    )
    assert "no log file has moved" in shown


def test_an_import_that_fails() -> None:
    """P11, P1: what is wrong is printed, and the process ends with 3."""
    shown = run(
        """
        template = order(0, config=Config(app="nothing_of_that_name", preload=True)).pid
        assert os.waitpid(template, 0)[1] >> 8 == 3
        """
    )
    assert shown.count("Error: there is no module 'nothing_of_that_name'") == 1


def test_an_import_that_is_told_to_end() -> None:
    """P11, P2: at SIGTERM, with 0; what the terminal sends is not for it."""
    run(
        """
        import importlib
        reading, writing = os.pipe()

        def hang(name):
            os.write(writing, b"x")
            time.sleep(60)

        importlib.import_module = hang
        signals += [signal.SIGINT, signal.SIGHUP]
        template = order(0).pid
        assert os.read(reading, 1) == b"x"
        os.kill(template, signal.SIGINT)
        os.kill(template, signal.SIGTERM)
        assert os.waitpid(template, 0)[1] == 0
        """
    )


def test_the_supervisor_hangs_up() -> None:
    """P7: the template ends, and whatever it has forked lives on."""
    run(
        """
        template = order(0).pid
        wait_for(1)
        [link] = templates._by_generation.values()
        link.orders.shutdown(socket.SHUT_RDWR)
        assert os.waitpid(template, 0)[1] == 0
        os.kill(told[0][1], 0)
        """
    )


def test_a_fork_in_between_that_fails() -> None:
    """P11: the supervisor is told; an error that is none of the system's is printed."""
    shown = run(
        """
        fork, supervisor, error = os.fork, os.getpid(), OSError(11, "no more processes")

        def fork_twice_at_most():
            if supervisor in (os.getpid(), os.getppid()):
                return fork()
            raise error

        os.fork = fork_twice_at_most
        order(0)
        wait_for(1)
        assert told == [(0, 0, "[Errno 11] no more processes")], told
        templates.close()
        error = RuntimeError("out of order")
        order(1)
        [link] = templates._by_generation.values()
        link.orders.shutdown(socket.SHUT_WR)  # it ends when it has done that
        assert os.waitpid(link.pid, 0)[1] == 0
        """
    )
    assert "RuntimeError: out of order" in shown


def test_a_fork_that_fails() -> None:
    """P11: the supervisor is told, and may try again."""
    run(
        """
        fork, supervisor = os.fork, os.getpid()

        def fork_once():
            if supervisor == os.getpid():
                return fork()
            raise OSError(11, "no more processes")

        os.fork = fork_once
        order(0)
        wait_for(1)
        order(1)
        wait_for(2)
        assert told == [(each, 0, "[Errno 11] no more processes") for each in (0, 1)], told
        [link] = templates._by_generation.values()
        link.orders.shutdown(socket.SHUT_WR)
        assert os.waitpid(link.pid, 0)[1] == 0
        """
    )


def test_threads_of_the_import_are_told_of() -> None:
    """P11: they do not live on in a fork."""
    shown = run(
        """
        import importlib
        load = importlib.import_module

        def load_and_start(name):
            threading.Thread(target=time.sleep, args=(60,), name="refresher", daemon=True).start()
            return load(name)

        importlib.import_module = load_and_start
        order(0)
        wait_for(1)
        templates.close()
        """
    )
    assert shown.count("has started threads (refresher)") == 1


def test_an_order_whose_files_cannot_be_opened() -> None:
    """P11: the system drops descriptors of a process that has too many; the order fails."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    order = json.dumps({"type": "fork", "slot": 1, "seat": 1}).encode()
    with ours, theirs, open(os.devnull, "rb") as file:
        ours.send(b'{"type": "of another version"}')
        socket.send_fds(ours, [order], [file.fileno()])
        ours.shutdown(socket.SHUT_WR)
        Template(Config(), [], theirs, frozenset()).obey(LoadBoard().take())
        answer = json.loads(ours.recv(1000))
    assert answer == {"error": "the template process cannot open more files"}
