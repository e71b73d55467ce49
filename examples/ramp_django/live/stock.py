"""What is in stock: looked up once for all who wait for a change, in each process."""

import asyncio
from contextvars import Context

from catalog.models import Book


class Watch:
    """Looks at the table while somebody waits."""

    def __init__(self):
        self.stock = {}
        self.changed = asyncio.Condition()
        self.waiting = 0
        self.task = None

    async def other_than(self, known, number):
        """Wait until so many of a book are not in stock any more; return how many are."""
        self.waiting += 1
        if self.task is None or self.task.done():
            # In a context of its own: it outlives the request that happens to be the first.
            self.task = asyncio.create_task(self.look(), context=Context())
        try:
            async with self.changed:
                await self.changed.wait_for(lambda: self.stock.get(number, known) != known)
                return self.stock[number]
        finally:
            self.waiting -= 1

    async def look(self):
        while self.waiting:
            rows = Book.objects.values_list("id", "stock")
            self.stock = {number: stock async for number, stock in rows}
            async with self.changed:
                self.changed.notify_all()
            await asyncio.sleep(0.2)
        self.stock = {}


watch = Watch()
