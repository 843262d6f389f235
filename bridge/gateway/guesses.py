"""How often an address may be wrong about credentials, so that nobody finds them by trying.

Must not know credentials, calls or clocks: `now` is monotonic seconds.
"""

from __future__ import annotations

from collections import OrderedDict

from bridge.gateway.allowance import Allowance
from bridge.gateway.errors import Exhausted
from bridge.limits import GUESSES_ADDRESSES, GUESSES_BURST, GUESSES_RATE
from bridge.openobd.endpoint import peer_endpoint


class Guesses:
    """The wrong guesses of late, by address.

    Callers on this machine are not counted: they share one address, and one of them would lock out all.
    """

    def __init__(self) -> None:
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()

    def check(self, peer: str, now: float) -> None:
        """Whether a caller may try; `peer` is as gRPC names it.

        Raises:
            Exhausted: its address was wrong too often of late.
        """
        endpoint = peer_endpoint(peer)
        allowance = self._allowances.get(endpoint.host) if endpoint is not None else None
        if allowance is not None and not allowance.has(now):
            raise Exhausted("too many wrong credentials from this address; try again in a minute")

    def note(self, peer: str, now: float) -> None:
        """It was wrong."""
        endpoint = peer_endpoint(peer)
        if endpoint is None or endpoint.loopback:  # a Unix socket is on this machine, too
            return
        allowance = self._allowances.setdefault(endpoint.host, Allowance(GUESSES_RATE, GUESSES_BURST))
        allowance.take(now)
        self._allowances.move_to_end(endpoint.host)
        if len(self._allowances) > GUESSES_ADDRESSES:
            self._allowances.popitem(last=False)
