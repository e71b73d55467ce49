"""RFC 6455 and 7692: handshakes and frames. Pure: no I/O, no clock."""
