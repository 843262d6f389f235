"""A function that does not end well."""

from openobd import OpenOBDFunction


class Fail(OpenOBDFunction):
    id = "fail"
    name = "Fail"

    def run(self):
        raise ValueError("there is no oil")
