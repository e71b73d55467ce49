"""Views that tell how they were called."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import SyncToAsync, sync_to_async
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.views import View

#: What became of async views whose clients have left.
CANCELLED: list[str] = []


def about(request: HttpRequest, kind: str, **more: Any) -> JsonResponse:
    """How a view was called."""
    return JsonResponse(
        {
            "view": kind,
            "request": type(request).__name__,
            "on_main_thread": threading.current_thread() is threading.main_thread(),
            "path": request.path,
            "script_name": request.META["SCRIPT_NAME"],
            "path_info": request.path_info,
            **more,
        }
    )


def sync_view(request: HttpRequest, **more: Any) -> HttpResponse:
    return about(request, "sync", **more)


async def async_view(request: HttpRequest, **more: Any) -> HttpResponse:
    return about(request, "async", **more)


class SyncClass(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return about(request, "sync class")


class AsyncClass(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return about(request, "async class")


async def wait(request: HttpRequest, seconds: str) -> HttpResponse:
    try:
        await asyncio.sleep(float(seconds))
    except asyncio.CancelledError:
        CANCELLED.append(request.path)
        raise
    return about(request, "wait")


async def cancelled(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"cancelled": CANCELLED})


async def fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("on purpose")


def fail_sync(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("on purpose")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def pieces() -> Iterator[bytes]:
        for _ in range(int(request.GET["pieces"])):
            yield b"x" * 65536

    return StreamingHttpResponse(pieces())


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingHttpResponse(pieces())


def upload(request: HttpRequest) -> HttpResponse:
    digest, size = hashlib.sha256(), 0
    while piece := request.read(65536):
        digest.update(piece)
        size += len(piece)
    return JsonResponse({"size": size, "sha256": digest.hexdigest()})


async def upload_async(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"size": len(request.body)})


_ARRIVED: list[asyncio.Event] = []
_BARRIER = threading.Barrier(2)


async def together(request: HttpRequest, count: int) -> HttpResponse:
    """Answer when so many requests are here at once."""
    here = asyncio.Event()
    _ARRIVED.append(here)
    if len(_ARRIVED) >= count:
        for each in _ARRIVED:
            each.set()
        _ARRIVED.clear()
    async with asyncio.timeout(60):
        await here.wait()
    return about(request, "together")


async def block(request: HttpRequest) -> HttpResponse:
    """Block in the thread of the request until another one does so, too."""
    await sync_to_async(_BARRIER.wait)(60)
    return about(request, "block")


async def threads(request: HttpRequest) -> HttpResponse:
    """Tell the thread of two calls, which is the same one."""
    names = {await sync_to_async(lambda: threading.current_thread().name)() for _ in range(2)}
    return JsonResponse({"names": sorted(names), "alive": threading.active_count()})


def query(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"count": ContentType.objects.count()})


#: Names of what has come so far, in views and their tasks that use transactions.
STEPS: list[str] = []
_TASKS: set[asyncio.Task[None]] = set()


async def steps(request: HttpRequest) -> HttpResponse:
    """Add a step, and tell all."""
    STEPS.extend(request.GET.getlist("add"))
    return JsonResponse({"steps": STEPS})


async def _reach(step: str) -> None:
    while step not in STEPS:
        await asyncio.sleep(0.01)


async def hold(request: HttpRequest) -> HttpResponse:
    """Begin a transaction that nobody ends, as the client leaves."""
    await sync_to_async(transaction.atomic().__enter__)()
    await ContentType.objects.acount()
    STEPS.append("held")
    await asyncio.sleep(100)
    return about(request, "hold")


async def outlive(request: HttpRequest) -> HttpResponse:
    """Answer; a task that stays adds a row, in a transaction of several calls."""

    async def work() -> None:
        await _reach("begin")
        while not request_thread._over:  # its client may have the whole answer before that
            await asyncio.sleep(0.01)
        atomic = transaction.atomic()
        await sync_to_async(atomic.__enter__)()
        await ContentType.objects.acreate(app_label="outlives", model="request")
        STEPS.append("added")
        await _reach("end")
        await sync_to_async(atomic.__exit__)(None, None, None)
        STEPS.append("committed")

    context = SyncToAsync.thread_sensitive_context.get()
    request_thread = SyncToAsync.context_to_thread_executor[context]
    task = asyncio.create_task(work())
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
    return JsonResponse({"count": await ContentType.objects.acount()})


async def query_async(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"count": await ContentType.objects.acount()})
