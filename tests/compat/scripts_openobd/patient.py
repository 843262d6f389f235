"""Waits for longer than any of its tokens lives, with a stream open; then goes on as if nothing were."""

import time

from openobd import IsotpSocket
from vehicle import ENGINE, SUCCESS, claimed

session = claimed()
tokens = [session.session_token]
with IsotpSocket(session, ENGINE) as engine:
    print("before:", engine.request("3E00"))
    began = time.monotonic()
    while len(tokens) < 4:
        time.sleep(0.05)
        if session.session_token != tokens[-1]:
            tokens.append(session.session_token)
            print("token after", round(time.monotonic() - began, 1))
    print("after:", engine.request("3E00"))
print("call:", session.get_connector_information().connected)
session.finish(SUCCESS)
