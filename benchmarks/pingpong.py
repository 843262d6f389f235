"""The limit of the gateway's round trips: grpc.aio that hands each ISO-TP message back, and nothing else.

    python -m benchmarks.pingpong

Prints its address and serves until it is ended.
"""

from __future__ import annotations

import asyncio
from typing import Any

from grpc import aio

from bridge.openobd.messages import IsotpMessage
from bridge.openobd.services import add_canServicer_to_server, canServicer


class Echo(canServicer):
    """One stream's messages, sent back."""

    async def openIsotpStream(self, request: object, call: aio.ServicerContext[Any, Any]) -> None:  # noqa: N802
        while (message := await call.read()) is not aio.EOF:
            if message.payload:
                await call.write(IsotpMessage(channel=message.channel, payload=message.payload))


async def main() -> None:
    """Serve until the process is ended."""
    server = aio.server()
    add_canServicer_to_server(Echo(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"tcp://127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
