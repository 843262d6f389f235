"""An endpoint of openOBD's protocol: where a gateway or the cloud is reached.

Must not know who is there.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from bridge.ports import parse_port

TLS_PORT = 443  #: openOBD's clients speak TLS to this port, and to no other


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host name or address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def wildcard(self) -> bool:
        """Whether it stands for every address of this machine."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False


def peer_endpoint(peer: str) -> Endpoint | None:
    """Who calls, as gRPC names it, such as `ipv4:10.0.0.7:50412` or `ipv6:%5B::1%5D:50412`; None: by no IP address."""
    kind, _, rest = peer.partition(":")
    host, _, digits = rest.replace("%5B", "[").replace("%5D", "]").rpartition(":")
    port = parse_port(digits)
    return None if kind not in ("ipv4", "ipv6") or port is None else Endpoint(host.strip("[]"), port)
