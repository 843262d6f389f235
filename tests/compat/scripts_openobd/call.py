"""Call functions one after the other in one session: call.py FUNCTION KEY=VALUE ... FUNCTION ...

Prints a line for each: its results, or the exception's type and text; at the end the session's state.
"""

import json
import sys

from openobd import ConnectionArguments, FunctionExecutor, OpenOBD, OpenOBDException, SessionArguments, SessionBuilder
from openobd.core.arguments import ExecutorArguments

calls = []
for word in sys.argv[1:]:
    key, equals, value = word.partition("=")
    if equals:
        calls[-1][1][key] = value
    else:
        calls.append((word, {}))

arguments = ConnectionArguments.from_environment_variables()
executor = FunctionExecutor(ExecutorArguments(modules=[], unique_function_ids=False))
builder = SessionBuilder(arguments, SessionArguments(ticket="1"), executor)
with builder.composition() as composition:
    session = composition.openobd_session.id()
    for function, values in calls:
        try:
            print("RESULT", json.dumps(composition.function_call(function, **values)), flush=True)
        except OpenOBDException as error:
            print("ERROR", type(error).__name__, error, flush=True)
states = {info.id: info.state for info in OpenOBD(arguments).get_session_list().sessions}
print("STATE", states[session])
