"""The lifespan of an app, every way that it can go (ASGI, "Lifespan Protocol")."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette

from bridge.asgi.lifespan import Lifespan, answer_for_all
from bridge.errors import ConfigError, IllegalMessage, LifespanFailed, NotOnAsyncio
from bridge.types import ASGIApp, Message, Receive, Scope, Send

Life = Callable[[Scope, Receive, Send], Awaitable[None]]


async def good(scope: Scope, receive: Receive, send: Send) -> None:
    """The app in the specification's example."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


def live(app: ASGIApp, **settings: object) -> Lifespan:
    """Start the app and shut it down; afterwards no task may be left."""
    lifespan = Lifespan(app, **settings)  # type: ignore[arg-type]

    async def run() -> None:
        try:
            await lifespan.startup()
            await lifespan.shutdown()
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not others, others

    asyncio.run(run())
    return lifespan


def test_startup_and_shutdown_reach_the_app_in_one_task() -> None:
    """S40: the app is called once, with both events, and keeps one task from start to end."""
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["type"], scope["asgi"]))
        for _ in range(2):
            message = await receive()
            seen.append((message, id(asyncio.current_task())))
            await send({"type": message["type"] + ".complete"})

    lifespan = live(app)
    assert lifespan.supported is True
    assert seen[0] == ("lifespan", {"version": "3.0", "spec_version": "2.0"})
    (started, task), (stopped, same_task) = seen[1:]  # type: ignore[misc]
    assert (started, stopped) == ({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert task == same_task


def test_state_is_the_dictionary_that_the_app_fills() -> None:
    """S40: what the app puts into scope["state"] is in `Lifespan.state`."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        yield {"db": "open"}

    assert live(Starlette(lifespan=lifespan)).state == {"db": "open"}
    given: dict[str, object] = {"from": "the host"}
    assert live(Starlette(lifespan=lifespan), state=given).state is given
    assert given == {"from": "the host", "db": "open"}


async def raises_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("only http here")


async def raises_at_startup(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    raise ValueError("no database")


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    return


async def answers_http(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200})


UNAWARE = [raises_at_once, raises_at_startup, returns, answers_http]


@pytest.mark.parametrize("app", UNAWARE)
def test_auto_goes_on_without_an_app_that_knows_no_lifespan(app: Life) -> None:
    """S40: `auto` tolerates raising, returning, and an answer that is none."""
    assert live(app, mode="auto").supported is False


@pytest.mark.parametrize("app", UNAWARE)
def test_on_insists_on_lifespan(app: Life) -> None:
    """S40: `on` makes a failure of the same apps."""
    with pytest.raises(LifespanFailed, match="startup"):
        live(app, mode="on")


def test_off_does_not_call_the_app() -> None:
    """S40: `off` leaves the app alone."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("called")

    assert live(app, mode="off").supported is None


def test_a_startup_that_raises_is_not_swallowed_silently(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """S40: where the app took the startup event and raised, `auto` goes on and says so."""
    live(raises_at_startup)
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.exc_info
    assert "no database" in str(record.exc_info[1])
    caplog.clear()
    live(raises_at_once)
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_reported_startup_failure_has_the_apps_message(mode: str) -> None:
    """S40: ``lifespan.startup.failed`` is a failure in each mode, in the app's words."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(LifespanFailed, match=r"^startup failed: no database$"):
        live(app, mode=mode)


def test_a_framework_that_reports_and_raises_keeps_its_cause() -> None:
    """S40: Starlette sends the traceback and raises: the message and the cause are both kept."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        raise OSError("disk is full")
        yield

    with pytest.raises(LifespanFailed, match="disk is full") as caught:
        live(Starlette(lifespan=lifespan))
    assert isinstance(caught.value.__cause__, OSError)


def test_a_failed_startup_may_clean_up() -> None:
    """S40: after ``startup.failed`` the app is let finish, not cancelled."""
    closed: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed"})
        await asyncio.sleep(0.01)
        closed.append(True)

    with pytest.raises(LifespanFailed, match="gave no message"):
        live(app)
    assert closed


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_an_app_that_wants_to_exit_stops_the_start(error: BaseException) -> None:
    """S40: SystemExit and its like at startup fail in `auto` too, and do not kill the loop."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    with pytest.raises(LifespanFailed) as caught:
        live(app)
    assert caught.value.__cause__ is error


def test_a_startup_that_hangs_fails_in_time_and_is_cancelled() -> None:
    """S40: the startup timeout ends an app that never answers, and the error names the option."""
    cancelled: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while True:
                await receive()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(LifespanFailed, match=r"within 0.05 s.*--timeout-startup"):
        live(app, startup_timeout=0.05)
    assert cancelled


def test_a_shutdown_that_hangs_fails_in_time_and_is_cancelled() -> None:
    """S40: the same for shutdown."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.Event().wait()

    with pytest.raises(LifespanFailed, match=r"lifespan.shutdown within 0.05 s"):
        live(app, shutdown_timeout=0.05)


def test_an_app_that_ignores_cancellation_cannot_hang_the_host(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """S40: an app that swallows its cancellation is left to itself after a grace."""
    monkeypatch.setattr("bridge.asgi.lifespan.CANCEL_GRACE", 0.01)
    release: list[asyncio.Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        event = asyncio.Event()
        release.append(event)
        while not event.is_set():
            try:
                await event.wait()
            except asyncio.CancelledError:
                pass

    async def run() -> None:
        with pytest.raises(LifespanFailed, match="within"):
            await Lifespan(app, startup_timeout=0.01).startup()
        release[0].set()

    asyncio.run(run())
    assert "left to itself" in caplog.text


@pytest.mark.parametrize("how", ["failed", "raises"])
def test_a_shutdown_failure_has_the_apps_message(how: str) -> None:
    """S40: a shutdown that fails or raises is reported with what the app said."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if how == "raises":
            raise OSError("queue not flushed")
        await send({"type": "lifespan.shutdown.failed", "message": "queue not flushed"})

    with pytest.raises(LifespanFailed, match="queue not flushed"):
        live(app)


def test_an_app_that_does_not_return_after_its_answer_is_cancelled_in_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """S40: the shutdown timeout counts for what follows ``shutdown.complete`` too."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await good(scope, receive, send)
        await asyncio.Event().wait()

    live(app, shutdown_timeout=0.05)
    assert "does not return" in caplog.text


def test_cleaning_up_after_the_answer_is_waited_for_and_reported() -> None:
    """S40: what the app does after ``shutdown.complete`` is part of its shutdown."""
    closed: list[bool] = []

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        await good(scope, receive, send)
        await asyncio.sleep(0.01)
        closed.append(True)
        raise OSError("could not close")

    with pytest.raises(LifespanFailed, match="could not close"):
        live(outer)
    assert closed


def test_an_app_that_asks_for_more_after_shutdown_is_ended_at_once() -> None:
    """S40: a loop over receive() that never returns does not hold up the exit."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})

    async def run() -> None:
        lifespan = Lifespan(app, shutdown_timeout=None)
        await lifespan.startup()
        await lifespan.shutdown()

    asyncio.run(asyncio.wait_for(run(), 10))


def test_a_return_without_an_answer_ends_the_shutdown() -> None:
    """S40: an app that returns at shutdown, or already after startup, is done, not failed."""

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()

    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.complete"})

    assert live(silent).supported
    assert live(early).supported


def test_a_lifespan_that_dies_in_between_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """S40: an exception between startup and shutdown is logged when it happens."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise OSError("lost the database")

    live(app)
    assert "lost the database" in caplog.text


@pytest.mark.parametrize(
    "message",
    [
        {"type": "lifespan.shutdown.complete"},
        {"type": "lifespan.nonsense"},
        {"kind": "lifespan.startup.complete"},
        "lifespan.startup.complete",
    ],
)
def test_illegal_answers_raise_in_the_app(message: object) -> None:
    """S40: a wrong or malformed answer is an error that the app sees, with what is legal."""
    errors: list[Exception] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await send(message)  # type: ignore[arg-type]
        except IllegalMessage as error:
            errors.append(error)
        await send({"type": "lifespan.startup.complete"})
        with pytest.raises(IllegalMessage, match=r"has answered"):
            await send({"type": "lifespan.startup.complete"})

    assert live(app).supported
    assert "lifespan.startup.complete" in str(errors[0])


def test_cancelling_the_start_cancels_the_app() -> None:
    """S40: a host that is stopped while the app starts leaves no task behind."""
    started: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        started.append(True)
        await asyncio.Event().wait()

    async def run() -> None:
        start = asyncio.create_task(Lifespan(app).startup())
        while not started:
            await asyncio.sleep(0)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


def test_a_loop_that_ends_before_the_app_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """S40: where all tasks are cancelled without a shutdown, nothing is logged as the app's."""

    async def run() -> None:
        await Lifespan(good).startup()

    asyncio.run(run())  # cancels what is left at its end
    assert not caplog.records


def test_a_lifespan_is_used_once() -> None:
    """S40: a second shutdown does nothing, a second startup is an error, as is a bad mode."""

    async def run() -> None:
        lifespan = Lifespan(good)
        await lifespan.shutdown()
        await lifespan.startup()
        await lifespan.shutdown()
        await lifespan.shutdown()
        with pytest.raises(RuntimeError, match="make a new one"):
            await lifespan.startup()

    asyncio.run(run())
    with pytest.raises(ConfigError, match="'maybe'"):
        Lifespan(good, mode="maybe")  # type: ignore[arg-type]


def test_on_another_loop_than_asyncios() -> None:
    """S40: a host that runs trio is told what to do."""
    with pytest.raises(NotOnAsyncio, match="lifespan of a mounted app runs on asyncio"):
        Lifespan(good).startup().send(None)


def test_an_app_that_gives_up_by_itself_is_logged_in_its_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """S40: frameworks say ``shutdown.failed`` unasked when a task group of the app's dies."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.failed", "message": "the worker died"})

    async def run() -> None:
        lifespan = Lifespan(app)
        await lifespan.startup()
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)
        await lifespan.shutdown()

    asyncio.run(run())
    (record,) = caplog.records
    assert "ended in the middle, and nobody had asked it to shut down: the worker died;" in (
        record.message
    )


# ------------------------------------------------------------- one scope for several apps


class Chain:
    """Apps ``a``, ``b``, ``c`` that log what happens to them; those named in `broken` fail."""

    def __init__(self, **broken: str) -> None:
        self.log: list[str] = []
        self.sent: list[Message] = []
        self.children = {
            name: Lifespan(self.app(name, broken.get(name, "")), mode="on") for name in "abc"
        }

    def app(self, name: str, fails: str) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            if fails == "says no":
                await send({"type": "lifespan.startup.failed", "message": "no"})
                return
            if fails == "raises":
                raise OSError("no disk")
            if fails == "hangs":
                self.log.append(f"{name} hangs")
                await asyncio.Event().wait()
            self.log.append(f"{name} up")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.log.append(f"{name} down")
            if fails == "stays":
                await send({"type": "lifespan.shutdown.failed", "message": "stays"})
            else:
                await send({"type": "lifespan.shutdown.complete"})

        return app

    async def run(self) -> None:
        """Both questions of a host, one after the other."""
        questions = iter(("lifespan.startup", "lifespan.shutdown"))

        async def receive() -> Message:
            return {"type": next(questions)}

        async def send(message: Message) -> None:
            self.sent.append(message)

        await answer_for_all(self.children, receive, send)


def test_several_apps_start_in_order_and_stop_in_reverse() -> None:
    """D3: the host gets one answer to each question."""
    chain = Chain()
    asyncio.run(chain.run())
    assert chain.log == ["a up", "b up", "c up", "c down", "b down", "a down"]
    assert [message["type"] for message in chain.sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


def test_one_of_several_apps_that_does_not_start() -> None:
    """D3: those before it are shut down, and the host is told which it was."""
    chain = Chain(a="stays", b="says no")
    asyncio.run(chain.run())
    assert chain.log == ["a up", "a down"]
    text = "b: startup failed: no; a: shutdown failed: stays"
    assert chain.sent == [{"type": "lifespan.startup.failed", "message": text}]


def test_one_of_several_apps_that_raises_at_startup() -> None:
    """D3: its error goes on to the host, which shows where it came from."""
    chain = Chain(b="raises")
    with pytest.raises(OSError, match="no disk"):
        asyncio.run(chain.run())
    (message,) = chain.sent
    assert message["type"] == "lifespan.startup.failed"
    assert message["message"].startswith("b: the app raised OSError")


def test_one_of_several_apps_that_does_not_stop() -> None:
    """D3: the others are shut down all the same."""
    chain = Chain(b="stays")
    asyncio.run(chain.run())
    assert chain.log[3:] == ["c down", "b down", "a down"]
    failed = {"type": "lifespan.shutdown.failed", "message": "b: shutdown failed: stays"}
    assert chain.sent[-1] == failed


def test_a_start_of_several_apps_that_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """D3: the log names the app that was starting; those before it are shut down."""
    chain = Chain(b="hangs")

    async def run() -> None:
        task = asyncio.create_task(chain.run())
        while "b hangs" not in chain.log:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(run())
    assert chain.log == ["a up", "b hangs", "a down"]
    assert "b: was still starting" in caplog.text


def test_several_apps_on_another_loop_than_asyncios() -> None:
    """D3: the host, which runs trio, say, is told by a failed startup what to do."""
    chain = Chain()
    with pytest.raises(StopIteration):
        chain.run().send(None)
    (message,) = chain.sent
    assert message["type"] == "lifespan.startup.failed"
    assert message["message"].startswith("a: the lifespan of a mounted app runs on asyncio")
