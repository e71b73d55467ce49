"""An app's lifespan (ASGI, "Lifespan Protocol"): its startup, its state, its shutdown.

The app is called once with a lifespan scope, in one task that lives as long as the host, so that
what it opens at startup (cancel scopes, task groups) is closed in the task that opened it. In each
of the two phases it gets an event, ``lifespan.startup`` or ``lifespan.shutdown``. What happens
depends on what the app does:

=======================  ==========================================================
it sends ``complete``    the phase is over
it sends ``failed``      `LifespanFailed` with the app's message, in every mode
it raises or returns     startup: the app does not support lifespan. ``auto`` goes
                         on without, as the specification wants; ``on`` fails
                         shutdown: raising is a failure, returning is a success
it raises `SystemExit`   a failure in every mode: the app wants to stop
it does nothing          a failure when the phase's time is up
=======================  ==========================================================

However a phase ends, no task is left behind: when the lifespan is over, its task has ended or has
been cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

from bridge.asgi.versions import LIFESPAN_VERSION
from bridge.errors import ConfigError, IllegalMessage, LifespanFailed, NotOnAsyncio
from bridge.log import logger
from bridge.types import ASGIApp, Message, Receive, Scope, Send

Mode: TypeAlias = Literal["auto", "on", "off"]


#: Seconds that a cancelled app has to clean up before it is abandoned.
CANCEL_GRACE: Final = 1.0


class Lifespan:
    """The lifespan of one app, run on the event loop that calls `startup`.

    `state` is the dictionary that the app fills at startup; a host gives each request a shallow
    copy of it as ``scope["state"]``. The timeouts are in seconds, None or 0 for no limit.
    `supported` is None until startup is over; then it says whether the app supports lifespan.
    `name` is that of one app among others, for the log.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        mode: Mode = "auto",
        startup_timeout: float | None = 60.0,
        shutdown_timeout: float | None = 30.0,
        state: dict[str, Any] | None = None,
        name: str = "",
    ) -> None:
        if mode not in get_args(Mode):
            raise ConfigError(f"lifespan is {mode!r}, and must be auto, on or off")
        self.state: dict[str, Any] = {} if state is None else state
        self.supported: bool | None = None
        self._app = app
        self._name = name
        self._mode = mode
        self._timeouts = {"startup": startup_timeout, "shutdown": shutdown_timeout}
        self._task: LifespanTask | None = None

    async def startup(self) -> None:
        """Have the app start; return when it has, or when it does not support lifespan.

        Raises `LifespanFailed` with the app's own message, its exception as the cause.
        """
        if self._mode == "off":
            return
        if self._task is not None:
            raise RuntimeError("this lifespan has been started; make a new one to start again")
        task = self._task = LifespanTask(self._app, self.state)
        try:
            self.supported = await self._ask(task, "startup") or self._without(task)
        finally:
            if not self.supported:
                await task.cancel()

    async def shutdown(self) -> None:
        """Have the app shut down, once; does nothing if it never started.

        Raises `LifespanFailed` as `startup` does; also then nothing of the app runs on.
        """
        task = self._task
        if not self.supported or task is None or task.phase == "shutdown":
            return
        if task.ended:
            return  # it ended by itself, which was logged then
        try:
            await self._ask(task, "shutdown")
            await task.wait_until_idle()
            if task.error is not None:
                raise _raised("shutdown", task.error)
        finally:
            await task.cancel()

    async def _ask(self, task: LifespanTask, phase: str) -> bool:
        """Send the event of `phase`; True: the app has completed it, False: the app has ended."""
        timeout = self._timeouts[phase]
        answer = await task.ask(phase, timeout or None)
        if answer is not None:
            if answer["type"].endswith(".failed"):
                await task.wait_until_idle()
                raise _failed(phase, answer, task.error) from task.error
            return True
        if not task.ended:
            raise LifespanFailed(
                f"the app did not answer lifespan.{phase} within {timeout} s; raise "
                f"--timeout-{phase}, or use --lifespan off if the app knows no lifespan",
                phase,
            )
        return False

    def _without(self, task: LifespanTask) -> Literal[False]:
        """Go on without lifespan, because the app ended at startup.

        Raises `LifespanFailed` if the mode, or what the app raised, does not allow that.
        """
        error = task.error
        if error is not None and (self._mode == "on" or not isinstance(error, Exception)):
            raise _raised("startup", error)
        if self._mode == "on":
            raise LifespanFailed(
                "the app returned from its lifespan without lifespan.startup.complete; "
                "use --lifespan auto or off if it knows no lifespan"
            )
        if error is not None and task.received:
            logger.warning(
                "%s raised at lifespan.startup and runs on without lifespan, as the ASGI "
                "specification wants; %s",
                self._name or "the app",
                "if it must not, it has to send lifespan.startup.failed"
                if self._name
                else "--lifespan on makes this an error",
                exc_info=error,
            )
        else:
            logger.debug("the app knows no lifespan (%r)", error)
        return False


async def answer_for_all(children: Mapping[str, Lifespan], receive: Receive, send: Send) -> None:
    """Answer one lifespan scope for several apps; the keys of `children` name them in errors.

    They start in order and shut down in reverse order. If one fails to start, those before it are
    shut down, and the host is told which one failed. If one fails to shut down, the others still
    shut down.
    """
    running: dict[str, Lifespan] = {}
    try:
        await receive()
        for name, lifespan in children.items():
            failure = await _start_named(name, lifespan)
            if failure is not None:
                failures = [f"{name}: {failure}", *await _stop_all(running)]
                await send({"type": "lifespan.startup.failed", "message": "; ".join(failures)})
                if isinstance(failure.__cause__, Exception):
                    raise failure.__cause__  # as frameworks do: the host shows the traceback
                return
            running[name] = lifespan
        await send({"type": "lifespan.startup.complete"})
        await receive()
    finally:
        failures = await _stop_all(running)
    if failures:
        await send({"type": "lifespan.shutdown.failed", "message": "; ".join(failures)})
    else:
        await send({"type": "lifespan.shutdown.complete"})


async def _start_named(name: str, lifespan: Lifespan) -> LifespanFailed | None:
    try:
        await lifespan.startup()
    except LifespanFailed as error:
        return error
    except NotOnAsyncio as error:
        return LifespanFailed(str(error))
    except asyncio.CancelledError:
        logger.error("%s: was still starting when the start was given up", name)
        raise
    return None


async def _stop_all(running: dict[str, Lifespan]) -> list[str]:
    """Shut all down, the last one first, and return what went wrong. `running` is then empty."""
    failures = []
    while running:
        name, lifespan = running.popitem()
        try:
            await lifespan.shutdown()
        except LifespanFailed as error:
            failures.append(f"{name}: {error}")
    return failures


class LifespanTask:
    """The app's task, and the events and replies between it and the host.

    Make it in the event loop that the app runs on; raises `NotOnAsyncio` if that is not asyncio's.
    """

    def __init__(self, app: ASGIApp, state: dict[str, Any]) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise NotOnAsyncio("the lifespan of a mounted app") from None
        #: The event that was sent last, ``startup`` or ``shutdown``; ``shutdown`` also at the end.
        self.phase = "startup"
        #: Whether the app has received an event.
        self.received = False
        #: What the app raised.
        self.error: BaseException | None = None
        self._questions: asyncio.Queue[str] = asyncio.Queue()
        self._answer: asyncio.Future[Message] = loop.create_future()
        #: Set when the app has ended, or waits for an event that will never come.
        self._idle = asyncio.Event()
        self._deadline: float | None = None
        #: What it sent when it ended by itself while the app was served.
        self._early_end: Message | None = None
        scope: Scope = {"type": "lifespan", "asgi": LIFESPAN_VERSION.copy(), "state": state}
        self._task = loop.create_task(self._run(app, scope), name="lifespan")

    @property
    def ended(self) -> bool:
        """Whether the app has returned or raised."""
        return self._task.done()

    async def ask(self, phase: str, timeout: float | None) -> Message | None:
        """Return the app's reply to ``lifespan.{phase}``; None if it ended or the time was up."""
        loop = asyncio.get_running_loop()
        if phase != self.phase:
            self.phase, self._answer = phase, loop.create_future()
        self._deadline = None if timeout is None else loop.time() + timeout
        self._questions.put_nowait(phase)
        either: set[asyncio.Future[Any]] = {self._answer, self._task}
        await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return self._answer.result() if self._answer.done() else None

    async def wait_until_idle(self) -> None:
        """Wait until the app ends, or waits for an event that never comes, or the time is up."""
        try:
            async with asyncio.timeout_at(self._deadline):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("the app answered lifespan.%s, but does not return", self.phase)

    async def cancel(self) -> None:
        """Cancel the app if it is still running, and give it `CANCEL_GRACE` to clean up."""
        self.phase = "shutdown"
        if self._task.done():
            return
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=CANCEL_GRACE)
        if not self._task.done():
            logger.error("the app's lifespan goes on after it was cancelled: left to itself")

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self._receive, self._send)
        except BaseException as error:  # SystemExit, too, must not tear down the loop
            self.error = error
        self._idle.set()
        if self._answer.done() and not self._over:
            self._note_early_end()

    @property
    def _over(self) -> bool:
        """True once the startup has failed or the shutdown was answered."""
        return self._answer.done() and (
            self.phase == "shutdown" or self._answer.result()["type"].endswith(".failed")
        )

    @property
    def _has_started(self) -> bool:
        return self._answer.done() and self._answer.result()["type"] == "lifespan.startup.complete"

    def _note_early_end(self) -> None:
        if self.error is None and not self._early_end:
            logger.debug("the app returned from its lifespan right after startup")
        elif not isinstance(self.error, asyncio.CancelledError):
            text = _failure_text(self._early_end or {})
            logger.error(
                "the app's lifespan ended in the middle, and nobody had asked it to shut down%s; "
                "requests are still served, but what it had opened may be closed",
                f": {text}" if text and self.error is None else "",
                exc_info=self.error,
            )

    async def _receive(self) -> Message:
        if self._over:
            self._idle.set()  # no event will come: wait to be cancelled
        phase = await self._questions.get()
        self.received = True
        return {"type": f"lifespan.{phase}"}

    async def _send(self, message: Any) -> None:
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "lifespan.shutdown.failed" and self.phase == "startup" and self._has_started:
            self._early_end = message  # a framework sends this if a task group of the app fails
            return
        legal = (f"lifespan.{self.phase}.complete", f"lifespan.{self.phase}.failed")
        if kind not in legal:
            raise IllegalMessage(f"the app sent {message!r} in its lifespan; legal now: {legal}")
        if self._answer.done():
            raise IllegalMessage(f"the app sent {kind!r}, but has answered lifespan.{self.phase}")
        self._answer.set_result(message)


def _failed(phase: str, answer: Message, error: BaseException | None) -> LifespanFailed:
    text = _failure_text(answer)
    if error is not None and text.startswith("Traceback "):
        # Frameworks send the traceback as the message, and raise the error too: show it once.
        text = f"{type(error).__name__}: {error}"
    told = f": {text}" if text else ", and the app gave no message"
    return LifespanFailed(f"{phase} failed{told}", phase)


def _failure_text(answer: Message) -> str:
    return str(answer.get("message") or "").strip()


def _raised(phase: str, error: BaseException) -> LifespanFailed:
    failed = LifespanFailed(f"the app raised {error!r} at lifespan.{phase}", phase)
    failed.__cause__ = error
    return failed
