"""A Flask app whose views wait for async code: many things at once, one thread, no new loop.

    asgi-bridge serve --app-dir examples flask_await:app
    asgi-bridge serve --app-dir examples flask_await:app --runner greenlet
    uvicorn --app-dir examples flask_await:asgi_app

`/weather?city=Oslo&city=Rome` asks an HTTP service about all cities at the same time, with one
`httpx.AsyncClient` for the whole process, and stores the answers in SQLite, with an asyncio lock.
The service is this app's own `/service/CITY`, unless SERVICE_URL names another.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from typing import Any

import httpx
from flask import Flask, Response, jsonify, request

import bridge

app = Flask(__name__)


class Weather:
    """The weather: async code that does not know Flask."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(timeout=10)
        self._lock = asyncio.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute("create table asked (city text, degrees integer)")

    async def of(self, service: str, cities: list[str]) -> dict[str, int]:
        """Return the temperature of each city; all requests run at the same time."""
        degrees = await asyncio.gather(*(self._ask(service, city) for city in cities))
        return dict(zip(cities, degrees, strict=True))

    async def _ask(self, service: str, city: str) -> int:
        answer = await self._client.get(f"{service}/{city}")
        degrees = int(answer.raise_for_status().json()["degrees"])
        async with self._lock:
            await asyncio.to_thread(self._keep, city, degrees)
        return degrees

    def _keep(self, city: str, degrees: int) -> None:
        with self._database:
            self._database.execute("insert into asked values (?, ?)", (city, degrees))

    def asked(self) -> int:
        """Return the number of stored answers."""
        count: int = self._database.execute("select count(*) from asked").fetchone()[0]
        return count


weather = Weather()


@app.get("/")
def index() -> str:
    return "Hello! Try /weather?city=Oslo&city=Rome\n"


@app.get("/weather")
def report() -> Response:
    service = os.environ.get("SERVICE_URL") or request.url_root + "service"
    cities = request.args.getlist("city") or ["Oslo", "Rome"]
    # The one line that matters: the coroutine runs on the server's own loop.
    degrees = bridge.await_(weather.of(service, cities))
    return jsonify(degrees=degrees, asked=weather.asked())


@app.get("/service/<city>")
def service(city: str) -> Any:
    bridge.await_(asyncio.sleep(0.05))  # a service takes its time
    return {"degrees": len(city)}


#: The same app for another ASGI server.
asgi_app = bridge.WsgiToAsgi(app)
