"""Addresses that nobody but the operator may send us to: an address or a host in, whether it is a public one out.

Where a source names a host by itself, what it resolves to must be public. Private networks, this machine, the metadata services
of clouds and every way to wrap one of them in another notation are not. `guarded` asks, for the address that is connected to.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_CLOSED_4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # the metadata service of Azure, on an address that looks public
    )
)
_OPEN_6: Final = ipaddress.IPv6Network("2000::/3")
"""What is given out for the public network; everything else (local, link, site, multicast, wrapped) is not."""
_CLOSED_6: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocols, Teredo among them, which wraps an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4 wraps one, and no server of today needs it
        "3fff::/20",
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_IN_32_BITS: Final = 0xFFFF_FFFF
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


def is_public(address: str) -> bool:
    """Whether *address*, as a socket has it, is one of the public network. What cannot be read as an address is not."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in network for network in _CLOSED_4)
    if parsed.scope_id is not None:
        return False
    if parsed.ipv4_mapped is not None:
        return is_public(str(parsed.ipv4_mapped))
    if parsed in _NAT64:  # networks without IPv4 reach the public IPv4 network by it
        return is_public(str(ipaddress.IPv4Address(int(parsed) & _IN_32_BITS)))
    return parsed in _OPEN_6 and not any(parsed in network for network in _CLOSED_6)


def is_plain_host(host: str) -> bool:
    """Whether *host* is a name or an address in its one usual notation.

    Resolvers read `2852039166`, `0xA9FEA9FE`, `0251.0376.0251.0376` and `127.1` as addresses too: nobody means well by it.
    """
    try:
        return str(ipaddress.ip_address(host)) == host and "%" not in host
    except ValueError:
        last = host.rpartition(".")[2]
        return last != "" and ":" not in host and _NUMBER.fullmatch(last) is None
