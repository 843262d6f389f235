"""Asks for all that is known of the vehicle, its connection and the order; and tells the log about it."""

import logging

from openobd import ConnectionMonitor, IsotpSocket, ScriptLogHandler
from vehicle import ENGINE, SUCCESS, claimed

session = claimed("4711")
log = logging.getLogger("script")
log.setLevel(logging.DEBUG)
handler = ScriptLogHandler(session)
log.addHandler(handler)

vehicle = session.get_vehicle_details()
print("vehicle:", vehicle.name, vehicle.tecdoc_id, vehicle.vin)
for ecu in session.get_ecu_list().ecus:
    isotp = ecu.isotp_ecu
    print(f"ecu: {isotp.request_id:x} {isotp.response_id:x} {isotp.can_bus.pin_plus}/{isotp.can_bus.pin_min}")
for product in session.get_product_list().products:
    print("product:", product.number, product.name)
with IsotpSocket(session, ENGINE) as engine:
    engine.request("3E00")
now = session.get_connector_information()
print("now:", now.connected, now.healthy, now.connected_since > 0, 0 < now.latency < 500)
monitor = ConnectionMonitor(session, sample_size=2)
print("monitored:", *(monitor.stream_handler.receive(timeout=30).connected for _ in range(2)))
monitor.stop_stream()
log.debug("detail")
log.info("VIN %s", vehicle.vin)
log.warning("two\nlines")
log.critical("enough")
handler.close()
session.finish(SUCCESS)
