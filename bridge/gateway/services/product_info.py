"""openOBD.v1.productInfo: the products that are configured for the vehicle."""

from __future__ import annotations

from bridge.gateway.core import Call, Core
from bridge.openobd.messages import EmptyMessage, ProductDetails, ProductList
from bridge.openobd.services import productInfoServicer


class ProductInfoService(productInfoServicer):
    """Calls of the holder of an active session."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def getProductList(self, request: EmptyMessage, call: Call) -> ProductList:
        """All of them, in the order of the configuration."""
        session = self._core.session(call)
        products = session.connection.settings.product
        return ProductList(products=[ProductDetails(number=one.number, name=one.name) for one in products])
