"""PEP 3333: the environ, the order of calls, the request body. No I/O, no clock."""
