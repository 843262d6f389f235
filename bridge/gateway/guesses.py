"""How often an address may be wrong about credentials, so that nobody finds them by trying.

Must not know credentials, calls or clocks: `now` is monotonic seconds.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

from bridge.gateway.allowance import Allowance
from bridge.gateway.errors import Exhausted
from bridge.limits import GUESSES_ADDRESSES, GUESSES_BURST, GUESSES_RATE


class Guesses:
    """The wrong guesses of late, by address.

    Callers on this machine are not counted: they share one address, and one of them would lock out all.
    """

    def __init__(self) -> None:
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()

    def check(self, peer: str, now: float) -> None:
        """Whether a caller may try; `peer` is as gRPC names it, such as `ipv4:10.0.0.7:50412`.

        Raises:
            Exhausted: its address was wrong too often of late.
        """
        allowance = self._allowances.get(_address(peer))
        if allowance is not None and not allowance.has(now):
            raise Exhausted("too many wrong credentials from this address; try again in a minute")

    def note(self, peer: str, now: float) -> None:
        """It was wrong."""
        address = _address(peer)
        if _is_here(address):
            return
        allowance = self._allowances.setdefault(address, Allowance(GUESSES_RATE, GUESSES_BURST))
        allowance.take(now)
        self._allowances.move_to_end(address)
        if len(self._allowances) > GUESSES_ADDRESSES:
            self._allowances.popitem(last=False)


def _address(peer: str) -> str:
    """The address without the port."""
    return peer.rpartition(":")[0].replace("%5B", "[").replace("%5D", "]")


def _is_here(address: str) -> bool:
    """Whether it is this machine's own; what is no IP address is a Unix socket."""
    try:
        return ipaddress.ip_address(address.partition(":")[2].strip("[]")).is_loopback
    except ValueError:
        return True
