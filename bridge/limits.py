"""Every bound and every timeout of the daemon, in one table.

Must not know who uses them: it imports nothing. Times are seconds, sizes are bytes.
"""

# What a client may send and keep.
RECORD_LIMIT = 64 * 1024  #: longest record that a client may send; longer input is dropped and counted
CLIENT_QUEUE_LIMIT = 1024 * 1024  #: bytes waiting for one client before whole records are dropped
TRANSPORT_BUFFER_LIMIT = 64 * 1024  #: bytes handed to the operating system's side of one connection
CLIENTS_LIMIT = 256  #: connections at once, over all listeners

# What a bus may hold.
BATCH_FRAMES_LIMIT = 1024  #: frames in one batch, so that one bus cannot hold up the others
BUS_QUEUE_FRAMES = 65536  #: frames between a reader thread and the loop before the oldest are dropped
BUS_REOPEN_DELAY = 2.0  #: from the loss of an adapter to the next attempt to open it

# Diagnostics (ISO 15765-4 allows P2 50 ms; OpenXC's firmware waits 100 ms).
DIAGNOSTIC_TIMEOUT = 0.1  #: from a request (or a part of its answer) to giving up
DIAGNOSTIC_PENDING_TIMEOUT = 5.0  #: how much longer NRC 0x78, responsePending, may keep a request open
DIAGNOSTIC_MAX_FREQUENCY = 10.0  #: Hz, for recurring requests
DIAGNOSTIC_REQUESTS_LIMIT = 256  #: requests at once, over all clients
OBD2_IGNITION_PERIOD = 2.0  #: between two looks for a running engine, predefined_obd2

# How the daemon lives and ends.
LOG_ONCE_PERIOD = 1.0  #: a repeated refusal is logged at most once in this time
SHUTDOWN_TIMEOUT = 1.5  #: from SIGTERM to leaving, whatever still hangs
PTY_POLL_PERIOD = 0.05  #: how often a pseudo-terminal is asked whether an app has it open
REPLAY_CLIENT_GRACE = 0.25  #: from the first client to the first frame of a `wait` replay
CLIENT_STALL_TIMEOUT = 1.0  #: a client that read nothing for so long no longer holds up a `max` replay
