"""Every bound and every timeout of the daemon, in one table.

Must not know who uses them: it imports nothing. Times are seconds, sizes are bytes.
"""

# What a client may send and keep.
RECORD_LIMIT = 64 * 1024  #: longest record that a client may send; longer input is dropped and counted
READ_SIZE = 4096  #: what one client's turn on the loop takes at most
CLIENT_QUEUE_LIMIT = 1024 * 1024  #: waiting for one client before whole records are dropped
RESPONSES_LIMIT = CLIENT_QUEUE_LIMIT // 4  #: unread answers to one client's commands, before it is cut off
TRANSPORT_BUFFER_LIMIT = 64 * 1024  #: handed to the operating system's side of one connection
CLIENTS_LIMIT = 256  #: connections at once, over all listeners

# How records leave (clients/hub.py says why).
FLUSH_SIZE = 64 * 1024  #: published in one format and written without waiting for more
FLUSH_REST = 9.0  #: times the duration of a flush: the least time to the next one
FLUSH_DELAY_LIMIT = 0.005  #: a record waits for others at most, as long as a flush takes no longer
FLUSH_DELAY_LEAST = 0.001  #: the rest of a wait that may be left out; the resolution of a timer
CLIENT_STALL_TIMEOUT = 1.0  #: a client that read nothing for so long no longer holds up a `max` replay

# What a bus may hold.
BATCH_FRAMES_LIMIT = 1024  #: frames in one batch, so that one bus cannot hold up the others
READ_PERIOD = 0.001  #: from one read to the next under load: frames gather in the kernel, no lone one waits
BUS_QUEUE_FRAMES = 65536  #: frames between a reader thread and the loop before the oldest are dropped
RECEIVE_BUFFER = 4 * 1024 * 1024  #: bytes asked for a socket; the system may grant less
BUS_REOPEN_DELAY = 2.0  #: from the loss of an adapter to the next attempt to open it
READ_TIMEOUT = 0.05  #: how long a python-can interface's read may hold up closing
READ_ERRORS_LIMIT = 5  #: unreadable frames in a row that mean a lost adapter
WRITE_QUEUE_FRAMES = 8192  #: frames that wait for the adapter: a second of a saturated 1 Mbit/s bus
WRITE_RETRY_DELAY = 0.001  #: from a full adapter to the next attempt
WRITE_TIMEOUT = 0.5  #: from a full adapter to giving up a frame; also what close() grants the last ones
LINK_LOOK_DELAY = 0.25  #: between two looks for a lost CAN interface of which there are no news
LINK_COMMAND_TIMEOUT = 5.0  #: for the program `ip` to show or to set an interface
LINE_LIMIT = 64 * 1024  #: one line of a recording; what is longer is no text
REPLAY_CLIENT_GRACE = 0.25  #: from the first client to the first frame of a `wait` replay
RAW_IDS_LIMIT = 4096  #: undefined ids of a bus whose raw frames are throttled one by one; more are sent unthrottled

# Serial CAN adapters (slcan).
SERIAL_READ_SIZE = 64 * 1024  #: what one turn on the loop takes from a port at most
SLCAN_ANSWER_TIMEOUT = 0.25  #: from a command to taking silence for an answer; many adapters have no other
SLCAN_START_TIMEOUT = 2.5  #: for an adapter that restarts whenever its port is opened
SLCAN_REOPEN_PERIOD = 0.5  #: between two looks for an adapter that was unplugged
SLCAN_STATUS_PERIOD = 1.0  #: between two questions for the status flags
SLCAN_CLOCK_WINDOW = 10.0  #: in which the frame that came soonest sets the adapter's clock
DRAIN_POLL_PERIOD = 0.005  #: how often a port that is being closed is asked whether all has left it

# ISO-TP (ISO 15765-2).
PAYLOAD_LIMIT = 4095  #: the longest payload of a first frame with a 12-bit length
SINGLE_FRAME_LIMIT = 7  #: payload of a single frame of 8 bytes; one less after an address byte (extended addressing)
WAITING_LIMIT = 16  #: payloads that may wait for the running transfer of one pair of ids
WAIT_FRAMES_LIMIT = 10  #: flow controls in a row that may say "wait" (N_WFTmax)
FLOW_CONTROL_TIMEOUT = 1.0  #: N_Bs: from a first frame (or the end of a block) to the flow control
CONSECUTIVE_FRAME_TIMEOUT = 1.0  #: N_Cr: from one consecutive frame to the next

# Diagnostics (ISO 15765-4 allows P2 50 ms; OpenXC's firmware waits 100 ms).
DIAGNOSTIC_TIMEOUT = 0.1  #: from a request (or a part of its answer) to giving up
DIAGNOSTIC_PENDING_TIMEOUT = 5.0  #: how much longer NRC 0x78, responsePending, may keep a request open
DIAGNOSTIC_MAX_FREQUENCY = 10.0  #: Hz, for recurring requests
DIAGNOSTIC_REQUESTS_LIMIT = 1024  #: requests at once, over all clients
DIAGNOSTIC_OWNER_LIMIT = 256  #: requests at once of one client, so that none takes all
OBD2_IGNITION_PERIOD = 2.0  #: between two looks for a running engine, predefined_obd2

# openOBD: the gateway's tokens and streams, as openOBD's documents give them; all settable.
SESSION_TOKEN_LIFE = 300.0  #: of session, authentication and monitor tokens
SESSION_TOKEN_REFRESH = 120.0  #: between two tokens on a token or monitor stream
CONTROLLER_TOKEN_LIFE = 5400.0
BROKER_TOKEN_LIFE = 300.0
BROKER_TOKEN_REFRESH = 120.0  #: between two tokens on a function stream
FUNCTION_CALL_TIMEOUT = 5.0  #: for a launcher to answer a function call
IDLE_STREAM_TIMEOUT = 600.0  #: a function stream without a function online is closed
RECONNECT_NOTICE = 60.0  #: from the notice that the broker goes to its going
LONGEST_LIFE = 7 * 24 * 3600.0  #: the longest of these that may be set

# openOBD: what one caller may keep.
GRPC_MESSAGE_LIMIT = 64 * 1024  #: bytes of one gRPC message; the longest ISO-TP payload takes 8190 as text
GRPC_STREAMS_LIMIT = 1024  #: calls at once on one connection
PARTNER_SESSIONS_LIMIT = 256  #: sessions of one partner that are not over
SESSIONS_LISTED = 1000  #: sessions that are over and still listed, the newest of all partners
SESSION_STREAMS_LIMIT = 64  #: streams at once in one session
CONTEXT_DEPTH_LIMIT = 32  #: function contexts within one another
VARIABLES_LIMIT = 1024  #: of one scope; as many arguments and results
VARIABLE_KEY_LIMIT = 256  #: characters
VARIABLES_SIZE_LIMIT = 1024 * 1024  #: bytes of all variables, arguments and results of one session
STREAM_CHANNELS_LIMIT = 64  #: channels on one stream of raw frames or ISO-TP payloads
SESSION_BUSES_LIMIT = 16  #: in one configuration of a session
SESSION_CHANNELS_LISTED = 1024  #: that getConfiguration tells of; later ones are used and not listed
BUS_NAME_LIMIT = 64  #: characters
TESTER_PRESENT_PERIOD = 2.0  #: from the last request to the next sign of life, where a channel asks for it (S3client)
TERMINAL15_PERIOD = 0.1  #: between two looks at the ignition's signal
STREAM_QUEUE_LIMIT = 1024  #: messages for one stream whose client does not read; then the oldest go
TOKENS_LIMIT = 16384  #: tokens that have not run out, of one kind
CONTEXT_TOKENS_LIMIT = 16  #: tokens of one kind for one context; then the oldest go
FINAL_MESSAGE_GRACE = (
    2.0  #: a monitor stream stays open after its last message, for clients that look for its end first
)

# How the daemon lives and ends.
LOG_ONCE_PERIOD = 1.0  #: a repeated trouble is logged at most once in this time
LOGGED_LENGTH = 300  #: characters of a client's or a profile's own words in one line of the log
FAULTS_LIMIT = 100  #: different faults of a profile's own functions that are remembered
PTY_POLL_PERIOD = 0.05  #: how often a pseudo-terminal is asked whether an app has it open
SHUTDOWN_TIMEOUT = 1.5  #: from SIGTERM to leaving, whatever still hangs
CLOSE_GRACE = SHUTDOWN_TIMEOUT / 2  #: for clients to take what already waits for them
