"""PEP 3333: the environ, the order of calls, the request body. Pure: no I/O, no clock."""
