"""An async view: it waits, and holds no thread meanwhile."""

import asyncio

from django.http import HttpResponse, JsonResponse

from live.stock import watch


async def stock(request, number, known):
    """Answer when something else is in stock than the visitor knows; after 20 s: ask again."""
    try:
        async with asyncio.timeout(20):
            return JsonResponse({"stock": await watch.other_than(known, number)})
    except TimeoutError:
        return HttpResponse(status=204)
