"""openOBD.v1.productInfo: the products that are configured for the vehicle."""

from __future__ import annotations

from bridge.gateway.core import Call, Core
from bridge.gateway.sessions import BY_SESSION
from bridge.openobd.messages import EmptyMessage, ProductDetails, ProductList
from bridge.openobd.services import productInfoServicer


class ProductInfoService(productInfoServicer):
    """Calls of the holder of an active session."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def getProductList(self, request: EmptyMessage, call: Call) -> ProductList:
        """All of them, in the order of the configuration."""
        session = self._core.sessions.of(self._core.context(call, BY_SESSION))
        products = session.connection.settings.product
        return ProductList(products=[ProductDetails(number=one.number, name=one.name) for one in products])
