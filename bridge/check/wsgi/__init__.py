"""Drive a WSGI app, in threads as a server has them, and note what it does with PEP 3333 (M51)."""
