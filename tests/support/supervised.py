"""A supervisor whose workers are stand-ins: ``python -m tests.support.supervised FILE NUMBER``.

FILE says what workers do that start from now on: ``serve``; ``fail``: say that they cannot start;
``crash``; ``hang``: never say anything; ``deaf``: nor heed a signal; ``babble``: say nonsense, and
serve. With a number behind it, those in lower slots serve. One that serves answers each connection
with its pid and the number of its slot, and does what it is told. A SIGHUP makes new ones, as for
real workers.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bridge.server.config.config import Config
from bridge.server.network.listeners import Listener
from bridge.server.network.load_board import Seat
from bridge.server.process.channel import Channel, ChannelClosed
from bridge.server.process.fleet.members import Action, Gone
from bridge.server.process.monitoring import Monitoring
from bridge.server.process.stacks import StackFile
from bridge.server.process.supervisor import Supervisor


def stand_in(
    config: Config,
    listeners: Sequence[Listener],
    channel: Channel,
    *,
    slot: int,
    seat: Seat | None = None,
    stacks: StackFile | None = None,
) -> NoReturn:
    """Be a worker of the kind that the file names."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    signal.signal(signal.SIGINT, lambda *_: None)
    assert seat is not None
    assert stacks is not None
    stacks.register()
    kind, _, first = Path(sys.argv[1]).read_text().partition(" ")
    if slot < int(first or 0):
        kind = "serve"
    print(f"{os.getpid()} is there, in slot {slot}", file=sys.stderr, flush=True)
    if kind == "fail":
        channel.send({"type": "failed", "code": 3, "error": "no database"})
        os._exit(3)
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "deaf":
        signal.signal(signal.SIGTERM, lambda *_: None)
        print("it is deaf", file=sys.stderr, flush=True)
    while kind in ("hang", "deaf"):
        time.sleep(60)
    if kind == "babble":
        channel.send({"type": "answer", "id": ["none"], "text": {}})
        channel.send({"type": "beat", "served": {}, "figures": 7})
    channel.send({"type": "started", "app": ["serving a stand-in"]})
    _serve(listeners[0], channel, f"{os.getpid()} {slot}".encode())
    os._exit(0)


def _serve(listener: Listener, channel: Channel, answer: bytes) -> None:
    serving: list[Listener] = []
    while True:
        ready, _, _ = select.select([channel, *(each.socket for each in serving)], [], [], 0.3)
        channel.send({"type": "beat", "served": 1})
        if channel in ready:
            try:
                messages = [each["type"] for each in channel.receive()]
            except ChannelClosed:
                return
            if {"stop", "retire", "cut"}.intersection(messages):
                return
            if "serve" in messages:
                serving.append(listener)
            for each in messages:
                print(f"{os.getpid()} was told {each}", file=sys.stderr, flush=True)
        for each in ready:
            if each is not channel:
                try:
                    connection, _ = listener.socket.accept()
                except BlockingIOError:
                    continue  # another one has it
                connection.sendall(answer)
                connection.close()


def _refuse() -> int:
    raise BlockingIOError(errno.EAGAIN, "no more processes")


def _break(monitoring: Monitoring, action: Action) -> None:
    if isinstance(action, Gone):
        raise OSError("the disk is full")


def main() -> None:
    """Serve until told to stop."""
    if "REFUSE_FORK" in os.environ:
        os.fork = _refuse
    if "BROKEN" in os.environ:
        Monitoring.note = _break  # type: ignore[method-assign]
    stranger = subprocess.Popen(["true"])
    delay = float(os.environ.get("DRAIN_DELAY", 0))
    config = Config(
        app="a stand-in",
        workers=int(sys.argv[2]),
        port=0,
        timeout_worker=1.5,
        drain_delay=delay,
        max_rss=os.environ.get("MAX_RSS", 0),
        control_socket="off",
    )
    code = Supervisor(config, stand_in).run().code
    stranger.wait()
    sys.exit(code)


if __name__ == "__main__":
    main()
