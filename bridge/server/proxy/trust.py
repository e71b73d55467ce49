"""Which proxies are trusted, and with what."""

from __future__ import annotations

from bridge.server.proxy.allow_list import AllowList
from bridge.server.proxy.forwarded import Forwarded


class TrustedProxies:
    """The proxies that the operator names, by their addresses.

    Those in `forwarded_ips` may name the client in `forwarded_headers`, those in `header_ips` in a
    PROXY header.
    """

    __slots__ = ("forwarded", "senders")

    def __init__(self, forwarded_ips: str, forwarded_headers: str, header_ips: str) -> None:
        #: Reads fields such as ``Forwarded``, if a trusted proxy sends them.
        self.forwarded = Forwarded(forwarded_ips, forwarded_headers)
        #: Those that may send a PROXY protocol header.
        self.senders = AllowList(header_ips, "proxy_protocol_allow_ips")
