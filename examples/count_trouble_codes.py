"""Call a function that somebody else serves, with openOBD. First serve examples/functions, then

python -m openobd run --file examples/count_trouble_codes.py --ticket 1
"""

from openobd import OpenOBDComposition

TROUBLE_CODES = "6e3d3f0e-2a3c-4b1e-9a55-0c5d0f6f7a02"


class CountTroubleCodes(OpenOBDComposition):
    """Ask for the trouble codes of both ECUs of the simulated vehicle."""

    id = "6e3d3f0e-2a3c-4b1e-9a55-0c5d0f6f7a03"
    version = "1.0"
    name = "Count trouble codes"

    def run(self) -> None:
        """A composition only calls functions: each gets the session, one after the other."""
        for name, request_id in (("engine", "7E0"), ("transmission", "7E1")):
            results = self.function_call(TROUBLE_CODES, request_id=request_id)
            print(f"{name}: {results['trouble_codes']} trouble codes")
