"""Where callers reach the gateway: what a SessionInfo says, and what --gateway means.

The real library takes host and port from the SessionInfo, not from its own settings, so both must
be right for whoever asks. Must not know sessions.
"""

from __future__ import annotations

import socket

from bridge.errors import ConfigurationError
from bridge.openobd.endpoint import Endpoint, peer_endpoint
from bridge.ports import parse_port

DEFAULT_PORT = 50051


def parse_endpoint(text: str, what: str) -> Endpoint:
    """HOST:PORT, [IPV6]:PORT or HOST; `what` is the setting, for errors.

    Raises:
        ConfigurationError: anything else.
    """
    host, colon, digits = text.strip().rpartition(":")
    if not colon or text.endswith("]"):
        host, digits = text.strip(), str(DEFAULT_PORT)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    strange = not host.isprintable() or any(character.isspace() or character in "/@" for character in host)
    if not host or host.isdecimal() or strange:
        raise ConfigurationError(f"{what}: {text!r} is no HOST:PORT, such as 127.0.0.1:{DEFAULT_PORT}")
    port = parse_port(digits)
    if port is None:
        raise ConfigurationError(f"{what}: {digits!r} is no port; write one from 1 to 65535, or 0 for a free one")
    return Endpoint(host, port)


class Endpoints:
    """What to tell each caller."""

    def __init__(self, listening: Endpoint, advertised: Endpoint | None = None) -> None:
        self.listening = listening  #: the port is the one that is really open
        self._advertised = advertised

    def towards(self, peer: str) -> Endpoint:
        """The endpoint that a caller reaches; `peer` is as gRPC names it, such as `ipv4:10.0.0.7:50412`."""
        if self._advertised is not None:
            return self._advertised
        if not self.listening.wildcard:
            return self.listening
        return Endpoint(_own_address(peer) or "127.0.0.1", self.listening.port)


def _own_address(peer: str) -> str | None:
    """The address of this machine on the way to a peer."""
    endpoint = peer_endpoint(peer)
    if endpoint is None:
        return None
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((endpoint.host, endpoint.port))  # sends nothing: it only asks the routing table
            return str(probe.getsockname()[0])
    except (OSError, ValueError):
        return None
