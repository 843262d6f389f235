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
DIAGNOSTIC_FAR_TIMEOUT = 2.0  #: how much longer one answer may take that comes from afar, where no part of it is seen
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
GRPC_WINDOW = (
    64 * 1024
)  #: bytes that a caller may send ahead of their being read; gRPC itself would let it grow to 16 MiB
GRPC_DESCRIPTORS_SHARE = 0.5  #: of the process's file descriptors, for connections; apps and buses need some, too
GRPC_HANDSHAKE_TIMEOUT = 10.0  #: for a new connection to say what HTTP/2 begins with
GRPC_PING_PERIOD = 30.0  #: from a connection's last sign of life to a ping
GRPC_PING_TIMEOUT = 20.0  #: for its answer; then the other side is gone, and holds nothing any more
GRPC_IDLE_TIMEOUT = 600.0  #: a connection without a call is closed; clients connect again with their next call
CALL_DETAILS_LIMIT = 1024  #: characters of why a call is refused; of more than 16 KiB gRPC makes another status
GUESSES_RATE = 5 / 60  #: wrong credentials of one address each second, in the long run
GUESSES_BURST = 5  #: of them at once
GUESSES_ADDRESSES = 4096  #: addresses whose wrong credentials are remembered, those of late
PARTNER_SESSIONS_LIMIT = 256  #: sessions of one partner that are not over
SESSIONS_LISTED = 1000  #: sessions that are over and still listed, the newest of all partners
SESSION_STREAMS_LIMIT = 64  #: streams at once in one session
SESSION_HEARERS_LIMIT = 16  #: channels of one session that hear the same id, each of which takes its time
PARTNER_HEARERS_LIMIT = 256  #: channels of all sessions of one partner that hear the same id
CONTEXT_DEPTH_LIMIT = 32  #: function contexts within one another
VARIABLES_LIMIT = 1024  #: of one scope; as many arguments and results
VARIABLE_KEY_LIMIT = 256  #: characters
VARIABLES_SIZE_LIMIT = 1024 * 1024  #: bytes of all variables, arguments and results of one session
VARIABLE_OVERHEAD = 512  #: bytes that a variable takes besides its own
CONNECTION_VALUE_LIMIT = 1024  #: characters of one variable of a connection
CONNECTION_VARIABLES_SIZE_LIMIT = 64 * 1024  #: bytes that one partner's sessions may note about one connection
SERVICE_DESCRIPTION_LIMIT = 4096  #: characters of a service result's description that are kept
SERVICE_RESULTS_LIMIT = 64  #: values of one service result that are kept
ENDED_CONTEXTS_LIMIT = 16  #: contexts of one session that are over and may still be monitored, the newest
LEAVING_GRACE = 30.0  #: for a holder to call again, or to have a stream open, after what may have been its last call
ABANDONED_PERIOD = 5.0  #: between two looks for contexts that nobody holds any more
STREAM_CHANNELS_LIMIT = 64  #: channels on one stream of raw frames or ISO-TP payloads
SESSION_BUSES_LIMIT = 16  #: in one configuration of a session
SESSION_CHANNELS_LISTED = 1024  #: that getConfiguration tells of; later ones are used and not listed
BUS_NAME_LIMIT = 64  #: characters
TESTER_PRESENT_PERIOD = 2.0  #: from the last request to the next sign of life, where a channel asks for it (S3client)
TERMINAL15_PERIOD = 0.1  #: between two looks at the ignition's signal
CONNECTOR_INFORMATION_PERIOD = 1.0  #: between two messages about the connection, as the protocol has it
LATENCY_SAMPLES = 10  #: answers whose average tells whether a connection is healthy, as the protocol has it
HEALTHY_LATENCY = 0.5  #: the average of a connection that is no longer healthy, as the protocol has it
ASK_TIMEOUT = 0.5  #: for an ECU to answer a request of the gateway's own; a remote car takes longer than P2
SCAN_WINDOW = 0.5  #: for all ECUs to answer each of the two rounds of a scan; they do so at once
SCRIPT_LOG_LENGTH = 1000  #: characters of a script's own words in one line of the log
SCRIPT_LOG_RATE = 20.0  #: lines each second that one session's scripts may write, in the long run
SCRIPT_LOG_BURST = 200  #: lines that it may write at once
SCRIPTS_LOG_RATE = 100.0  #: lines each second of all sessions' scripts
SCRIPTS_LOG_BURST = 1000  #: lines of all of them at once
LAST_WORDS_GRACE = 1.0  #: for what a script logged to arrive, after its session was finished on another stream
CONTROL_TEXT_LIMIT = 4096  #: characters of each text of a control
CONTROL_OPTIONS_LIMIT = 256  #: options of a control
CONTROL_LINES_SHOWN = 40  #: lines of one text of a control on a terminal; then it is cut
CONTROL_PERIOD = 0.05  #: from one control on a terminal to the next; more cannot be read
ANSWER_LIMIT = 4096  #: bytes of a typed answer; a terminal in its usual mode takes no longer line
LAUNCHERS_LIMIT = 64  #: function streams of one partner at once
LAUNCHERS_RATE = 200.0  #: messages each second of all launchers of one partner in the long run; more have to wait
LAUNCHERS_BURST = 2048  #: that they may send at once
LAUNCHER_FUNCTIONS_LIMIT = 256  #: functions that are online on one function stream
PARTNER_FUNCTIONS_LIMIT = 1024  #: functions of one partner, those included that were online and are remembered
FUNCTION_ID_LIMIT = 256  #: characters
FUNCTION_DETAILS_LIMIT = 8 * 1024  #: bytes of one function's details
FUNCTION_IDS_LIMIT = 4096  #: signed function ids of one partner, which never expire
PENDING_CALLS_LIMIT = 256  #: calls that wait for one launcher's answer
STREAM_QUEUE_LIMIT = 1024  #: messages for one stream whose client does not read; then the oldest go
STREAM_QUEUE_SIZE = 1024 * 1024  #: bytes of them
READ_PAUSE = 0.05  #: from a look whether one more message may be read to the next
TOKENS_LIMIT = 16384  #: tokens of one kind for one partner; then it starts no session and no function context
CONTEXT_TOKENS_LIMIT = 16  #: tokens of one kind for one context; then old ones go
PARTNER_TOKENS_LIMIT = 1024  #: tokens of one kind for one partner, whose every script takes its own
FINAL_MESSAGE_GRACE = (
    2.0  #: a monitor stream stays open after its last message, for clients that look for its end first
)

# openOBD: a remote session as one of the bridge's buses.
REMOTE_CONNECT_TIMEOUT = 5.0  #: for an endpoint to give a sign of life; covers two lost packets of a connection's start
REMOTE_CALL_TIMEOUT = 10.0  #: for one call: the cloud asks a device on a car
REMOTE_FLUSH_TIMEOUT = 0.25  #: for raw frames that wait to arrive before the session is finished
REMOTE_FINISH_TIMEOUT = 0.5  #: for a session to be finished, and as long again to be interrupted; all within a shutdown
REMOTE_SILENCE_TIMEOUT = 5.0  #: connector information comes each second; without it the connection is lost
RECONNECT_LEAST = 0.5  #: the longest wait before the first try to reconnect
RECONNECT_MOST = 30.0  #: the longest wait before any try
REMOTE_DELAY_LEAST = 0.3  #: what a request and its answer may take on the way, beside what was measured
REMOTE_ISOTP_STREAMS = 32  #: pairs of ids at once in one session, with those below less than SESSION_STREAMS_LIMIT
REMOTE_RESPONDERS = 16  #: ECUs of which one functional request opens streams to hear their answers
REMOTE_CONFIRM_TIMEOUT = 1.0  #: for those streams to be open before the request is sent all the same
REMOTE_CONFIRM_PERIOD = 0.005  #: between two looks whether they are
REMOTE_HEARING_STREAMS = 16  #: streams of raw frames that are heard; more ids share them
REMOTE_SENDING_STREAMS = 4  #: streams of raw frames that are sent; more ids share them
REMOTE_STREAM_IDLE = 30.0  #: an ISO-TP stream stays open after its last channel, for the next request
REMOTE_FRAMES_WAITING = 1024  #: raw frames on their way into streams

# How the daemon lives and ends.
DESCRIPTORS_MARGIN = 128  #: of the process, for all but apps: files, buses, listeners, libraries
LOG_ONCE_PERIOD = 1.0  #: a repeated trouble is logged at most once in this time
LOG_LINES_LIMIT = 1000  #: lines of the log that wait to be read; more are dropped and counted
LOG_FLUSH_TIMEOUT = 0.25  #: for the last lines to be read at the end
LOGGED_LENGTH = 300  #: characters of a client's or a profile's own words in one line of the log
FAULTS_LIMIT = 100  #: different faults of a profile's own functions that are remembered
PTY_POLL_PERIOD = 0.05  #: how often a pseudo-terminal is asked whether an app has it open
SHUTDOWN_TIMEOUT = 1.5  #: from SIGTERM to leaving, whatever still hangs
END_GRACE = 0.25  #: for streams that were ended to be over
CLOSE_GRACE = SHUTDOWN_TIMEOUT / 2  #: for clients to take what already waits for them
