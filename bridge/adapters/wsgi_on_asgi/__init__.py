"""The machinery of `WsgiToAsgi`: requests to WSGI apps, whatever the runner."""
