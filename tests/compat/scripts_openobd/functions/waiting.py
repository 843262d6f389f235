"""A function that shows how far it is, and goes on when it is told."""

import time

from openobd import OpenOBDFunction


class Wait(OpenOBDFunction):
    id = "wait"
    name = "Wait"

    def run(self):
        self.session_variables["waiting"] = "yes"
        print("WAITING", flush=True)
        while self.session_variables["go"] is None:
            time.sleep(0.05)
        return {"waiting": self.session_variables["waiting"]}
