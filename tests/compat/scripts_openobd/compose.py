"""A composition for `python -m openobd run`: it never authenticates, and calls functions in its session."""

from openobd import OpenOBDComposition


class Compose(OpenOBDComposition):
    id = "compose"
    name = "Compose"

    def run(self):
        self.session_variables["go"] = "yes"
        print("VARIABLES", self.connection_variables["ticket:id"], self.connection_variables["nothing"], flush=True)
        print("RESULT", self.function_call("wait"), self.function_call("add", first="20", second="22"), flush=True)
