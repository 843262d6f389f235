"""Run the client's scanners over a few ids and PIDs; they have no bounds of their own.

usage: scan.py PORT FORMAT
"""

import sys

from openxc.interface import SerialVehicleInterface
from openxc.tools import obd2scanner, scanner

port, payload_format = sys.argv[1:]
controller = SerialVehicleInterface(port=port, payload_format=payload_format)
controller.WAITIED_FOR_CONNECTION = True  # the client's own switch: do not sleep 5 s before each command
controller.start()

obd2scanner.range = lambda start, stop: [0x00, 0x0D, 0x50]
obd2scanner.scan(controller, 1)
if payload_format == "json":  # its payload has no form in protobuf
    scanner.range = lambda start, stop: [0x09, 0x0B]
    modules = scanner.find_active_modules(controller, 1, [0x7E0, 0x7E2])
    print(f"modules {sorted(modules)}")
    modes = scanner.find_active_modes(controller, 1, [0x7E0])
    print(f"modes {modes[0x7E0]}")
print(f"corrupted {controller.corrupted_messages}")
