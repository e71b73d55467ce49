"""Connections that greenlets make, accept and close."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.runners.patching.sockets.jobs import pair, paused, run_jobs

TIMEOUTS = [None, 60.0]
#: Nothing answers there: packets to this network are for documentation only.
NOWHERE = ("192.0.2.1", 9)


@pytest.fixture
def listener() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def full(family: int, address: Any) -> tuple[socket.socket, list[socket.socket]]:
    """A listening socket that takes no further connection, and those that fill its queue."""
    sock = socket.socket(family)
    sock.bind(address)
    sock.listen(0)
    waiting = []
    for _ in range(2):
        waiting.append(socket.socket(family))
        waiting[-1].setblocking(False)
        waiting[-1].connect_ex(sock.getsockname())
    return sock, waiting


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_connecting(listener: Any, timeout: float | None) -> None:
    """G6: a greenlet connects to an address or a name, and the socket's mode is as it was."""
    port = listener.getsockname()[1]

    async def main(begin: Any) -> None:
        def job(host: Any) -> Any:
            with socket.socket() as sock, socket.socket() as other:
                sock.settimeout(timeout)
                sock.connect((host, port))
                assert sock.gettimeout() == timeout
                assert other.connect_ex((host, port)) == 0
                return sock.getpeername()

        for host in ("127.0.0.1", "localhost", b"localhost"):
            assert await begin(lambda h=host: job(h)).done == listener.getsockname()

    run_jobs(main)


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_refused(timeout: float | None) -> None:
    """G6: a connection that is refused is the usual error."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))

        async def main(begin: Any) -> None:
            def job() -> int:
                with socket.socket() as sock, socket.socket() as other:
                    sock.settimeout(timeout)
                    with pytest.raises(ConnectionRefusedError) as raised:
                        sock.connect(bound.getsockname())
                    assert raised.value.strerror == "Connection refused"
                    return other.connect_ex(bound.getsockname())

            assert await begin(job).done == errno.ECONNREFUSED

        run_jobs(main)


def test_no_answer() -> None:
    """G6: a connection that nobody takes does not block the loop; the timeout ends it."""
    listener, waiting = full(socket.AF_INET, ("127.0.0.1", 0))

    async def main(begin: Any) -> None:
        def job(connect: str) -> Any:
            with socket.socket() as sock:
                sock.settimeout(0.2)
                return getattr(sock, connect)(listener.getsockname())

        call, other = begin(lambda: job("connect")), begin(lambda: job("connect_ex"))
        await paused(call, other)
        with pytest.raises(TimeoutError, match=r"^timed out$"):
            await call.done
        assert await other.done == errno.EAGAIN

    run_jobs(main)
    for each in (listener, *waiting):
        each.close()


def test_a_false_alarm() -> None:
    """G6: what is told of a closed socket that lives on as a copy is no end of a connection."""
    listener, waiting = full(socket.AF_INET, ("127.0.0.1", 0))

    async def main(begin: Any) -> None:
        with pair(0.01) as (left, right):
            with pytest.raises(TimeoutError):
                await begin(lambda: left.recv(1)).done
            number = left.fileno()
            with left.dup():
                left.close()
                with socket.socket() as sock:
                    assert sock.fileno() == number
                    sock.settimeout(0.2)
                    call = begin(lambda: sock.connect(listener.getsockname()))
                    await paused(call)
                    right.close()
                    with pytest.raises(TimeoutError, match=r"^timed out$"):
                        await call.done

    run_jobs(main)
    for each in (listener, *waiting):
        each.close()


def test_full_unix_socket(tmp_path: Path) -> None:
    """G6: a Unix socket that takes no further connection is waited for, without blocking."""
    path = str(tmp_path / "full")
    listener, waiting = full(socket.AF_UNIX, path)

    async def main(begin: Any) -> None:
        def job(timeout: float | None) -> str:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(timeout)
                sock.connect(path)
                return str(sock.getpeername())

        call = begin(lambda: job(None))
        await paused(call)
        with pytest.raises(BlockingIOError):  # as without greenlets
            await begin(lambda: job(10)).done
        listener.accept()[0].close()
        assert await call.done == path
        with socket.socket(socket.AF_UNIX) as sock, pytest.raises(FileNotFoundError):
            await begin(lambda: sock.connect("/no/such/path")).done

    run_jobs(main)
    for each in (listener, *waiting):
        each.close()


def test_not_to_be_found() -> None:
    """G6: a name that nobody knows is the usual error; so is what is no address."""

    async def main(begin: Any) -> None:
        with socket.socket() as sock:
            with pytest.raises(socket.gaierror):
                await begin(lambda: sock.connect(("no.such.host.invalid", 80))).done
            with pytest.raises(socket.gaierror):
                await begin(lambda: sock.bind(("no.such.host.invalid", 80))).done
            for wrong in ("text", ("127.0.0.1",), ("127.0.0.1", "x"), (None, 80), ()):
                with pytest.raises(TypeError):
                    await begin(lambda w=wrong: sock.connect(w)).done

    run_jobs(main)


def test_without_waiting(listener: Any) -> None:
    """G6: a socket that the app has made non-blocking connects and accepts as ever."""

    async def main(begin: Any) -> None:
        def job() -> None:
            with socket.socket() as sock, socket.socket() as other:
                sock.setblocking(False)
                other.setblocking(False)
                try:
                    sock.connect(listener.getsockname())
                except BlockingIOError:
                    pass
                assert other.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
                listener.accept()[0].close()
                listener.accept()[0].close()
                listener.setblocking(False)
                with pytest.raises(BlockingIOError):
                    listener.accept()

        await begin(job).done

    run_jobs(main)


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_accepting(listener: Any, timeout: float | None) -> None:
    """G6: of greenlets that accept from one socket each gets a connection of its own."""
    listener.settimeout(timeout)

    async def main(begin: Any) -> None:
        calls = [begin(listener.accept) for _ in range(3)]
        await paused(*calls)
        assert listener.gettimeout() == timeout
        clients = []
        for _ in calls:
            clients.append(
                await begin(lambda: socket.create_connection(listener.getsockname())).done
            )
        peers = set()
        for call in calls:
            sock, address = await call.done
            assert sock.getpeername() == address
            peers.add(address)
            sock.close()
        assert peers == {client.getsockname() for client in clients}
        for client in clients:
            client.close()

    run_jobs(main)


def test_closed_meanwhile(listener: Any) -> None:
    """G6: greenlets that wait for a socket get an error when it is closed, also by a thread."""

    async def main(begin: Any) -> None:
        calls = [begin(listener.accept) for _ in range(2)]
        await paused(*calls)
        thread = threading.Thread(target=listener.close)
        thread.start()
        await asyncio.to_thread(thread.join)
        for call in calls:
            with pytest.raises(OSError, match="Errno 9"):
                await call.done

    run_jobs(main)


def test_shut_down_meanwhile() -> None:
    """G6: a socket that is shut down for reading wakes those that read."""
    with pair(None) as (left, _):

        async def main(begin: Any) -> None:
            call = begin(lambda: left.recv(1))
            await paused(call)
            left.shutdown(socket.SHUT_RD)
            assert await call.done == b""

        run_jobs(main)


def test_with_statement_and_detach() -> None:
    """G6: sockets end as ever: at the end of a block, twice, and without the descriptor."""
    left, right = socket.socketpair()
    with left:
        pass
    left.close()
    assert left.fileno() == -1
    descriptor = right.detach()
    socket.socket(fileno=descriptor).close()


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_files(tmp_path: Path, timeout: float | None) -> None:
    """G6: a file is sent without blocking the loop, from where it should begin."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 8192)
    with pair(timeout) as (left, right):

        async def main(begin: Any) -> None:
            def job() -> int:
                with path.open("rb") as file:
                    return left.sendfile(file, 256)

            call = begin(job)
            await paused(call)
            received = await asyncio.to_thread(whole, path.stat().st_size - 256)
            assert received == path.read_bytes()[256:]
            assert await call.done == len(received)

        def whole(size: int) -> bytes:
            data = bytearray()
            while len(data) < size:
                data += right.recv(65536)
            return bytes(data)

        run_jobs(main)
        with path.open("rb") as file:
            right.settimeout(10)
            thread = threading.Thread(target=lambda: left.sendfile(file))
            thread.start()
            assert whole(path.stat().st_size) == path.read_bytes()
            thread.join()
