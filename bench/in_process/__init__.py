"""`AsgiToWsgi` without a server of ours: what it costs, and what it holds."""
