"""Twenty sessions with four streams each, all at once; each asks through its own streams."""

import threading

from openobd import ConnectionMonitor, IsotpSocket, RawChannel, RawSocket
from vehicle import ENGINE, SUCCESS, TRANSMISSION, claimed, controller

SESSIONS = 20
together = threading.Barrier(SESSIONS)
answers: list[tuple[str, ...]] = []
by = controller()


def talk(number: int) -> None:
    session = claimed(str(number), by)
    engine = IsotpSocket(session, ENGINE)
    transmission = IsotpSocket(session, TRANSMISSION)
    raw = RawSocket(session, RawChannel(bus_name="hs", response_id=0x7E8))
    monitor = ConnectionMonitor(session)
    while len(session.get_configuration().channels) < 3:  # streams are not acknowledged when they are opened
        pass
    together.wait(60)  # each has its token stream and these four open
    # An ECU that so many ask at once has no room for all of its answers.
    said = tuple(socket.request("22F18C", timeout=5, tries=6) for socket in (engine, transmission))
    assert raw.receive(timeout=30).startswith(("10", "0", "2"))
    together.wait(60)
    monitor.stop_stream()
    for socket in (engine, transmission, raw):
        socket.stop_stream()
    session.finish(SUCCESS)
    answers.append(said)


threads = [threading.Thread(target=talk, args=(number,)) for number in range(1, SESSIONS + 1)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("answers", len(answers), *sorted({text for said in answers for text in said}))
print("states", *sorted({session.state for session in by.get_session_list().sessions}))
