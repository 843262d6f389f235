"""Ask for the VIN where long responses come in parts; prints the payload that the client puts together.

usage: parts.py PORT FORMAT
"""

import sys

from openxc.interface import SerialVehicleInterface

port, payload_format = sys.argv[1:]
interface = SerialVehicleInterface(port=port, payload_format=payload_format)
interface.WAITIED_FOR_CONNECTION = True  # the client's own switch: do not sleep 5 s before each command
interface.start()
_, responses = interface.create_diagnostic_request(0x7E0, mode=0x22, pid=0xF190, bus=1, wait_for_first_response=True)
for response in responses or []:
    # What it has put together it marks with this timestamp.
    if response.get("pid") == 0xF190 and response.get("timestamp") == 0:
        print("STITCHED " + response["payload"], flush=True)
