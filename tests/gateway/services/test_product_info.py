"""openOBD.v1.productInfo: the products that are configured for the vehicle."""

from __future__ import annotations

import grpc

from bridge.config import ConnectionSettings, ProductSettings
from bridge.openobd.messages import EmptyMessage

from ..refusals import refused


async def products(caller):
    found = await caller.productInfo.getProductList(EmptyMessage(), metadata=caller.metadata)
    return [(one.number, one.name) for one in found.products]


async def test_each_vehicle_has_its_own(open_bench, join) -> None:
    bench = await open_bench(
        connection=(
            ConnectionSettings(
                tickets=("1",),
                product=(ProductSettings(number=2, name="Coding"), ProductSettings(number=1, name="Diagnosis")),
            ),
            ConnectionSettings(tickets=("2",)),
        )
    )
    caller = await join(bench)
    await caller.active_session("1")
    assert await products(caller) == [(2, "Coding"), (1, "Diagnosis")]
    await caller.active_session("2")
    assert await products(caller) == []


async def test_it_takes_the_session_token(bench, join) -> None:
    caller = await join(bench)
    await caller.start_session()
    assert await refused(products(caller)) is grpc.StatusCode.UNAUTHENTICATED
