/* A CAN socket, many frames a system call: recvmmsg and sendmmsg. Linux only.
 *
 * The socket belongs to bridge/buses/socketcan.py, which sets its options. Nothing here blocks, so
 * the interpreter's lock is kept: letting it go costs more than the calls.
 */
#define _GNU_SOURCE
#include "_codec.h"

#ifdef __linux__

#include <errno.h>
#include <linux/can.h>
#include <sys/socket.h>

#define ROUND 64                 /* messages of one system call: more of them save nothing that can be measured */
#define TIMESTAMP_NANOSECONDS 35 /* SO_TIMESTAMPNS as two longs; libc's name may mean another layout */
#define QUEUE_OVERFLOW 40        /* SO_RXQ_OVFL */
#define CLASSIC_SIZE sizeof(struct can_frame)
#define FD_SIZE sizeof(struct canfd_frame)

typedef struct {
    long seconds;
    long nanoseconds;
} Timestamp;

typedef union {
    struct cmsghdr aligned;
    char bytes[CMSG_SPACE(sizeof(Timestamp)) + CMSG_SPACE(sizeof(uint32_t))];
} Control;

/* Where one system call reads to or writes from. A classic frame is the beginning of an FD one. */
typedef struct {
    struct mmsghdr messages[ROUND];
    struct iovec vectors[ROUND];
    struct canfd_frame frames[ROUND];
    Control controls[ROUND];
} Round;

/* What one call of receive_frames has gathered. */
typedef struct {
    Buffer frames;
    Buffer errors;
    bool overflowed;
    uint32_t dropped; /* the socket's counter, if it said any */
} Received;

static void round_prepare(Round *round, int count) {
    for (int i = 0; i < count; i++) {
        round->vectors[i] = (struct iovec){&round->frames[i], FD_SIZE};
        round->messages[i].msg_hdr = (struct msghdr){
            .msg_iov = &round->vectors[i],
            .msg_iovlen = 1,
            .msg_control = &round->controls[i],
            .msg_controllen = sizeof(Control),
        };
    }
}

/* Unix seconds of a message, 0 without a timestamp; takes down the socket's drop counter. */
static double read_control(struct msghdr *header, Received *received) {
    double timestamp = 0.0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part != NULL; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET) continue;
        if (part->cmsg_type == TIMESTAMP_NANOSECONDS && part->cmsg_len >= CMSG_LEN(sizeof(Timestamp))) {
            Timestamp taken;
            memcpy(&taken, CMSG_DATA(part), sizeof taken);
            timestamp = (double)taken.seconds + (double)taken.nanoseconds * 1e-9;
        } else if (part->cmsg_type == QUEUE_OVERFLOW && part->cmsg_len >= CMSG_LEN(sizeof(uint32_t))) {
            memcpy(&received->dropped, CMSG_DATA(part), sizeof received->dropped);
            received->overflowed = true;
        }
    }
    return timestamp;
}

static uint8_t flags_of(const struct canfd_frame *frame, size_t size) {
    unsigned flags = 0;
    if (frame->can_id & CAN_EFF_FLAG) flags |= FLAG_EXTENDED;
    if (size == FD_SIZE) {
        flags |= FLAG_FD;
        flags |= frame->flags & CANFD_BRS ? FLAG_BITRATE_SWITCH : 0;
        flags |= frame->flags & CANFD_ESI ? FLAG_ERROR_STATE_INDICATOR : 0;
    } else if (frame->can_id & CAN_RTR_FLAG) {
        flags |= FLAG_REMOTE;
    }
    return (uint8_t)flags;
}

/* Append one message's record where it belongs; what is neither a classic nor an FD frame is left out. */
static int take_message(struct mmsghdr *message, const struct canfd_frame *frame, uint8_t bus, Received *received) {
    size_t size = message->msg_len;
    double timestamp = read_control(&message->msg_hdr, received);
    if ((size != CLASSIC_SIZE && size != FD_SIZE) || message->msg_hdr.msg_flags & MSG_TRUNC) return 0;
    if (frame->len > (size == FD_SIZE ? FD_DATA_LIMIT : CLASSIC_DATA_LIMIT)) return 0;
    bool error = (frame->can_id & CAN_ERR_FLAG) != 0;
    Buffer *buffer = error ? &received->errors : &received->frames;
    if (buffer_reserve(buffer, FRAME_SIZE) < 0) return -1;
    Frame record = {.timestamp = timestamp, .bus = bus, .length = frame->len};
    record.id = frame->can_id & (error || frame->can_id & CAN_EFF_FLAG ? CAN_EFF_MASK : CAN_SFF_MASK);
    record.flags = error ? FLAG_ERROR : flags_of(frame, size);
    if (message->msg_hdr.msg_flags & MSG_CONFIRM) record.flags |= FLAG_OWN;
    if (!(record.flags & FLAG_REMOTE)) memcpy(record.data, frame->data, frame->len);
    memcpy(buffer->start + buffer->used, &record, FRAME_SIZE);
    buffer->used += FRAME_SIZE;
    return 0;
}

/* Read until nothing is left or `limit` messages are taken. -1 with an exception set. */
static int receive(int fd, uint8_t bus, int limit, Received *received) {
    Round round;
    for (int taken = 0; taken < limit;) {
        int wanted = limit - taken < ROUND ? limit - taken : ROUND;
        round_prepare(&round, wanted);
        int count = recvmmsg(fd, round.messages, (unsigned)wanted, MSG_DONTWAIT, NULL);
        if (count < 0) {
            if (taken > 0 || errno == EAGAIN) return 0;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        for (int i = 0; i < count; i++)
            if (take_message(&round.messages[i], &round.frames[i], bus, received) < 0) return -1;
        if (count < wanted) return 0;
        taken += count;
    }
    return 0;
}

static PyObject *receive_frames(PyObject *module, PyObject *arguments) {
    (void)module;
    int fd, limit;
    unsigned char bus;
    if (!PyArg_ParseTuple(arguments, "ibi:receive_frames", &fd, &bus, &limit)) return NULL;
    Received received = {0};
    PyObject *result = NULL;
    if (receive(fd, bus, limit, &received) == 0) {
        PyObject *dropped = received.overflowed ? PyLong_FromUnsignedLong(received.dropped) : Py_NewRef(Py_None);
        // "N" takes the references over, and passes a NULL on as the error that it is.
        result = Py_BuildValue("(NNN)", buffer_bytes(&received.frames), buffer_bytes(&received.errors), dropped);
    }
    buffer_free(&received.frames);
    buffer_free(&received.errors);
    return result;
}

/* A record as the kernel wants it; the size of what is to be written. */
static size_t frame_of(const Frame *record, struct canfd_frame *frame) {
    bool fd = (record->flags & FLAG_FD) != 0;
    memset(frame, 0, sizeof *frame);
    frame->can_id = record->id;
    frame->len = record->length;
    if (record->flags & FLAG_EXTENDED) frame->can_id |= CAN_EFF_FLAG;
    if (record->flags & FLAG_ERROR) frame->can_id |= CAN_ERR_FLAG;
    if (fd) {
        unsigned flags = record->flags & FLAG_BITRATE_SWITCH ? CANFD_BRS : 0;
        flags |= record->flags & FLAG_ERROR_STATE_INDICATOR ? CANFD_ESI : 0;
        frame->flags = (uint8_t)flags;
    } else if (record->flags & FLAG_REMOTE) {
        frame->can_id |= CAN_RTR_FLAG;
        return CLASSIC_SIZE;
    }
    memcpy(frame->data, record->data, record->length);
    return fd ? FD_SIZE : CLASSIC_SIZE;
}

/* Whether these are records, each with a length that its format has. */
static bool are_sendable(const char *records, size_t size) {
    if (size % FRAME_SIZE != 0) return false;
    for (size_t at = 0; at < size; at += FRAME_SIZE) {
        uint8_t flags = (uint8_t)records[at + offsetof(Frame, flags)];
        uint8_t length = (uint8_t)records[at + offsetof(Frame, length)];
        if (length > (flags & FLAG_FD ? FD_DATA_LIMIT : CLASSIC_DATA_LIMIT)) return false;
    }
    return true;
}

/* How many of one round's records the kernel took, -1 with errno set where it took none. */
static int send_round(int fd, const char *records, int count) {
    Round round;
    round_prepare(&round, count);
    for (int i = 0; i < count; i++) {
        Frame record;
        memcpy(&record, records + (size_t)i * FRAME_SIZE, FRAME_SIZE);
        round.vectors[i].iov_len = frame_of(&record, &round.frames[i]);
        round.messages[i].msg_hdr.msg_control = NULL;
        round.messages[i].msg_hdr.msg_controllen = 0;
    }
    return sendmmsg(fd, round.messages, (unsigned)count, MSG_DONTWAIT);
}

static PyObject *send_frames(PyObject *module, PyObject *arguments) {
    (void)module;
    int fd;
    const char *records;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "iy#:send_frames", &fd, &records, &size)) return NULL;
    if (!are_sendable(records, (size_t)size)) {
        PyErr_SetString(PyExc_ValueError, "these are no records of frames that a CAN bus can carry");
        return NULL;
    }
    Py_ssize_t count = size / FRAME_SIZE, sent = 0;
    while (sent < count) {
        int wanted = count - sent < ROUND ? (int)(count - sent) : ROUND;
        int taken = send_round(fd, records + sent * FRAME_SIZE, wanted);
        if (taken < 0 && sent == 0 && errno != EAGAIN && errno != ENOBUFS) return PyErr_SetFromErrno(PyExc_OSError);
        if (taken <= 0) break;
        sent += taken;
    }
    return PyLong_FromSsize_t(sent);
}

PyMethodDef codec_socketcan_functions[] = {
    {"receive_frames", receive_frames, METH_VARARGS,
     "receive_frames(fd, bus, limit) -> (records, error records, drop counter or None)"},
    {"send_frames", send_frames, METH_VARARGS, "send_frames(fd, records) -> how many the kernel took"},
    {NULL, NULL, 0, NULL},
};

#else

PyMethodDef codec_socketcan_functions[] = {
    {NULL, NULL, 0, NULL},
};

#endif
