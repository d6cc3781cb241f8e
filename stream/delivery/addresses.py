"""Where connections may go: public addresses, and those of private networks that the delivery file allows.

A host's name is resolved once, and the connection is made to an address that was looked at: a name that answers
otherwise the second time gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

from aiohttp.abc import AbstractResolver, ResolveResult

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Network

Address = IPv4Address | IPv6Address

_NAT64: Final = IPv6Network("64:ff9b::/96")


class AddressRefused(OSError):  # noqa: N818 - reads as what happened
    """A host has no address that may be connected to."""


def permitted(address: Address, allowed: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether a connection may go there. Addresses of version 4 inside those of version 6 are looked at as what
    they are."""  # noqa: D205, D209 - one thought
    found = _inner(address)
    if any(found in network for network in allowed):
        return True
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


def _inner(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


async def addresses_of(
    host: str, port: int, allowed: Iterable[IPv4Network | IPv6Network], family: int = socket.AF_UNSPEC
) -> list[tuple[int, str]]:
    """Address family and address of a host, those that may be connected to.

    Raises:
        AddressRefused: it has addresses, and none of them may.
        OSError: it cannot be resolved.
    """
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
    )
    found: dict[tuple[int, str], None] = {}
    for own, _, _, _, place in infos:
        text = str(place[0])
        if permitted(ip_address(text.partition("%")[0]), allowed):
            found[int(own), text] = None
    if not found:
        raise AddressRefused("a private address, and allow_private does not name it")
    return list(found)


class GuardedResolver(AbstractResolver):
    """For aiohttp: gives only addresses that may be connected to."""

    def __init__(self, allowed: Iterable[IPv4Network | IPv6Network]) -> None:
        self._allowed = tuple(allowed)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As aiohttp asks."""
        return [
            ResolveResult(
                hostname=host, host=text, port=port, family=own, proto=0, flags=socket.AI_NUMERICHOST
            )
            for own, text in await addresses_of(host, port, self._allowed, family)
        ]

    async def close(self) -> None:
        """Nothing is open."""
