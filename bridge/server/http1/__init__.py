"""HTTP/1.1 (RFC 9112): one connection, from bytes to requests and back."""
