"""Functions for tests: what comes in, what goes out, and one that calls another."""

from openobd import OpenOBDFunction


class Add(OpenOBDFunction):
    id = "add"
    version = "v1"
    name = "Add"
    description = "Adds two numbers"

    def run(self, first: str, second: str):
        return {"sum": str(int(first) + int(second)), "terms": f"{first}+{second}"}


class AddThree(OpenOBDFunction):
    id = "add-three"
    name = "Add three"
    dashboard = False

    def run(self, first: str, second: str, third: str):
        pair = self.function_call(Add, first=first, second=second)
        whole = self.function_call("add", first=pair["sum"], second=third)
        return whole["sum"]
