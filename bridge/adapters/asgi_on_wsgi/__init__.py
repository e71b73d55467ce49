"""The machinery of `AsgiToWsgi`: the host's side and the loop's side of a request."""
