"""An app on the client's library: measurements, commands and diagnostics; prints what it found as JSON.

usage: library.py PORT FORMAT
"""

import json
import sys
import threading

from openxc.interface import SerialVehicleInterface
from openxc.measurements import ButtonEvent, CanMessage, Measurement, VehicleSpeed, all_measurements
from openxc.vehicle import Vehicle

TIMEOUT = 50
ENGINE = 0x7E0
LOG = 0xFD00  # a long data identifier

port, payload_format = sys.argv[1:]
interface = SerialVehicleInterface(port=port, payload_format=payload_format)
interface.WAITIED_FOR_CONNECTION = True  # the client's own switch: do not sleep 5 s before each command
result = {}


class Collected:
    """Everything that came, and a way to wait for something."""

    def __init__(self):
        self.messages = []
        self.changed = threading.Condition()

    def add(self, message, **kwargs):
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()

    def wait_for(self, found):
        with self.changed:
            return self.changed.wait_for(lambda: found(self.messages), TIMEOUT)


class EverySink:
    """A data sink, as Vehicle wants one."""

    def __init__(self, collected):
        self.receive = collected.add


everything = Collected()
if payload_format == "json":
    # In protobuf the client reads 0 as False, for which its measurements have no unit: they raise, and its thread ends.
    measured = Collected()
    vehicle = Vehicle()
    vehicle.add_sink(EverySink(everything))
    generic = (Measurement.name, CanMessage.name, ButtonEvent.name)  # a button may not be pressed for minutes
    wanted = [each for each in all_measurements() if each.name not in generic]
    for each in wanted:
        vehicle.listen(each, measured.add)
    vehicle.add_source(interface)
    names = {each.name for each in wanted}
    result["complete"] = measured.wait_for(lambda messages: {each.name for each in messages} >= names)
    result["wanted"] = sorted(names)
    result["measurements"] = [
        {
            "class": type(each).__name__,
            "name": each.name,
            "number": getattr(each.value, "num", each.value),
            "unit": str(getattr(each.value, "unit", None)),
            "event": each.event,
            "in_range": each.within_range() if getattr(each, "valid_range", None) else None,
            "valid_state": each.valid_state() if getattr(each, "states", None) else None,
        }
        for each in list(measured.messages)
    ]
    speed = vehicle.get(VehicleSpeed)
    result["speed"] = [type(speed).__name__, speed.value.num, str(speed.value.unit)]
else:
    interface.callback = everything.add
    interface.start()

result["version"] = interface.version()
result["platform"] = interface.platform()
result["device_id"] = interface.device_id()
result["passthrough"] = [interface.set_passthrough(1, True), interface.set_passthrough(9, True)]
result["frames"] = everything.wait_for(lambda messages: any("data" in each for each in messages))
result["no_passthrough"] = interface.set_passthrough(1, False)
result["predefined"] = [interface.set_predefined_obd2_requests(enabled) for enabled in (True, False)]

acknowledged, responses = interface.create_diagnostic_request(
    ENGINE, mode=0x9, pid=2, bus=1, wait_for_first_response=True
)
result["vin"] = [acknowledged, [each for each in responses if each.get("mode") == 0x9]]
recurring = {"id": ENGINE, "mode": 0x22, "pid": 0xF190, "bus": 1}
result["recurring"] = interface.create_diagnostic_request(**recurring, frequency=10)[0]
result["again"] = interface.create_diagnostic_request(**recurring, frequency=10)[0]
result["repeated"] = everything.wait_for(lambda messages: sum(each.get("pid") == 0xF190 for each in messages) >= 3)
result["deleted"] = [interface.delete_diagnostic_request(**recurring) for _ in range(2)]

interface.create_diagnostic_request(ENGINE, mode=0x22, pid=LOG, bus=1)
last = -1 if payload_format == "protobuf" else None  # in protobuf it comes in parts
result["log_complete"] = everything.wait_for(
    lambda messages: any(each.get("pid") == LOG and each.get("frame") == last for each in messages)
)
result["log"] = [each for each in everything.messages if each.get("pid") == LOG]
result["corrupted"] = interface.corrupted_messages
interface.stop()
print("RESULT " + json.dumps(result), flush=True)
