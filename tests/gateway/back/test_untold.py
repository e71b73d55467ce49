"""The requests of which gateways have not heard yet (L9, L10)."""

from __future__ import annotations

import asyncio

from bridge.gateway.back.untold import SOON, Untold


class Asked:
    """A request; `told` is done when its gateway is told."""

    def __init__(self) -> None:
        self.told = asyncio.get_running_loop().create_future()

    def tell(self) -> bool:
        self.told.set_result(asyncio.get_running_loop().time())
        return True


class Told:
    """A request whose gateway knows already."""

    def tell(self) -> bool:
        return False


def test_each_is_told_soon_and_not_at_once() -> None:
    """L10: those that are added while others wait have their time, too."""

    async def main() -> None:
        slow: list[int] = []
        untold, time = Untold(lambda: slow.append(1)), asyncio.get_running_loop().time
        for _ in range(2):  # also after a pause
            began, first, second = time(), Asked(), Asked()
            untold.add(first)
            await asyncio.sleep(SOON)
            untold.add(second)
            assert await first.told - began >= SOON
            assert await second.told - began >= SOON
        assert len(slow) == 4
        untold.add(Told())
        await asyncio.sleep(3 * SOON)
        assert len(slow) == 4

    asyncio.run(asyncio.wait_for(main(), 20))
