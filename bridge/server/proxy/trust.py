"""Which proxies are believed, and in what."""

from __future__ import annotations

from bridge.server.proxy.allow_list import AllowList
from bridge.server.proxy.forwarded import Forwarded


class TrustedProxies:
    """The proxies that the operator names, by their addresses.

    `forwarded_ips` may say in `forwarded_headers` who the client is, `header_ips` in PROXY headers.
    """

    __slots__ = ("forwarded", "senders")

    def __init__(self, forwarded_ips: str, forwarded_headers: str, header_ips: str) -> None:
        #: What fields such as ``Forwarded`` say, if it is a proxy that sends them.
        self.forwarded = Forwarded(forwarded_ips, forwarded_headers)
        #: Those that may send a PROXY protocol header.
        self.senders = AllowList(header_ips, "proxy_protocol_allow_ips")
