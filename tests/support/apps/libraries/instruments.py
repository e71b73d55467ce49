"""What watches apps: each must keep requests apart while they wait."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import prometheus_client
import sentry_sdk
from opentelemetry import trace
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

from tests.support.apps.libraries.timed import page, timed

# ------------------------------------------------------------- Sentry

_events: list[dict[str, Any]] = []
sentry_sdk.init(
    dsn="http://nobody@127.0.0.1:9/1",
    before_send=lambda event, hint: _events.append(event),  # type: ignore[arg-type, func-returns-value]
    auto_enabling_integrations=False,
)


def _sentry(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    mine = str(id(environ))
    sentry_sdk.set_tag("mine", mine)
    answer = page(time.sleep)(environ, start_response)
    sentry_sdk.capture_message(mine)
    [event] = [event for event in _events if event["message"] == mine]
    _events.remove(event)
    assert event["tags"] == {"mine": mine}
    return answer


# ------------------------------------------------------------- OpenTelemetry

_tracer = TracerProvider()


def _traced(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    mine = trace.get_current_span()
    assert mine.is_recording()
    answer = page(time.sleep)(environ, start_response)
    assert trace.get_current_span() is mine
    return answer


# ------------------------------------------------------------- Prometheus

_registry = prometheus_client.CollectorRegistry()
_seconds = prometheus_client.Histogram("waits", "Seconds that were waited", registry=_registry)


def _measured(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    before = _count()
    with _seconds.time():
        body = timed(time.sleep, environ).encode()
    assert _count() > before
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def _count() -> float:
    return _registry.get_sample_value("waits_count") or 0.0


PAGES: dict[str, Any] = {
    "sentry-sdk": SentryWsgiMiddleware(_sentry),
    "opentelemetry-instrumentation-wsgi": OpenTelemetryMiddleware(_traced, tracer_provider=_tracer),
    "prometheus_client": _measured,
}
