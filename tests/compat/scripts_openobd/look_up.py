"""Print the state of functions: look_up.py FUNCTION ..."""

import sys

from openobd import FunctionRegistrationState, OpenOBD

for function in sys.argv[1:]:
    registration = OpenOBD().get_function_registration(function)
    print(function, FunctionRegistrationState.Name(registration.state), registration.details.name)
