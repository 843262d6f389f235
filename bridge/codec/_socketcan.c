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
#define CONTROL_SIZE (CMSG_SPACE(sizeof(Timestamp)) + CMSG_SPACE(sizeof(uint32_t)))

typedef long Timestamp[2]; /* seconds, nanoseconds */

/* Where one system call reads to or writes from. A classic frame is the beginning of an FD one. */
typedef struct {
    struct mmsghdr messages[ROUND];
    struct iovec vectors[ROUND];
    struct canfd_frame frames[ROUND];
    _Alignas(struct cmsghdr) char controls[ROUND][CONTROL_SIZE];
} Round;

/* What one call of receive_frames has gathered. */
typedef struct {
    Buffer frames;
    Buffer errors;
    bool overflowed;
    uint32_t dropped; /* the socket's counter, if it said any */
} Received;

/* Prepare so many messages; how many those are, ROUND at most. */
static int round_prepare(Round *round, Py_ssize_t wanted, size_t control_size) {
    int count = wanted < ROUND ? (int)wanted : ROUND;
    for (int i = 0; i < count; i++) {
        round->vectors[i] = (struct iovec){&round->frames[i], FD_SIZE};
        round->messages[i].msg_hdr = (struct msghdr){
            .msg_iov = &round->vectors[i],
            .msg_iovlen = 1,
            .msg_control = round->controls[i],
            .msg_controllen = control_size,
        };
    }
    return count;
}

/* Unix seconds of a message, 0 without a timestamp; takes down the socket's drop counter. */
static double read_control(struct msghdr *header, Received *received) {
    double timestamp = 0.0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part != NULL; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET) continue;
        if (part->cmsg_type == TIMESTAMP_NANOSECONDS && part->cmsg_len >= CMSG_LEN(sizeof(Timestamp))) {
            Timestamp taken;
            memcpy(taken, CMSG_DATA(part), sizeof taken);
            timestamp = (double)taken[0] + (double)taken[1] * 1e-9;
        } else if (part->cmsg_type == QUEUE_OVERFLOW && part->cmsg_len >= CMSG_LEN(sizeof(uint32_t))) {
            memcpy(&received->dropped, CMSG_DATA(part), sizeof received->dropped);
            received->overflowed = true;
        }
    }
    return timestamp;
}

static int flags_of(const struct canfd_frame *frame, size_t size) {
    if (frame->can_id & CAN_ERR_FLAG) return FLAG_ERROR;
    int flags = frame->can_id & CAN_EFF_FLAG ? FLAG_EXTENDED : 0;
    if (size == FD_SIZE) return flags | FLAG_FD | (frame->flags & FD_BITS) << FD_SHIFT;
    return frame->can_id & CAN_RTR_FLAG ? flags | FLAG_REMOTE : flags;
}

/* Append one message's record where it belongs; what is neither a classic nor an FD frame is left out. */
static int take_message(struct mmsghdr *message, const struct canfd_frame *frame, uint8_t bus, Received *received) {
    size_t size = message->msg_len;
    Frame record = {.timestamp = read_control(&message->msg_hdr, received), .bus = bus, .length = frame->len};
    if ((size != CLASSIC_SIZE && size != FD_SIZE) || message->msg_hdr.msg_flags & MSG_TRUNC) return 0;
    if (frame->len > (size == FD_SIZE ? FD_DATA_LIMIT : CLASSIC_DATA_LIMIT)) return 0;
    int flags = flags_of(frame, size);
    record.id = frame->can_id & (flags & (FLAG_ERROR | FLAG_EXTENDED) ? CAN_EFF_MASK : CAN_SFF_MASK);
    record.flags = (uint8_t)(message->msg_hdr.msg_flags & MSG_CONFIRM ? flags | FLAG_OWN : flags);
    if (!(flags & FLAG_REMOTE)) memcpy(record.data, frame->data, frame->len);
    return buffer_append(flags & FLAG_ERROR ? &received->errors : &received->frames, &record, FRAME_SIZE);
}

/* Read until nothing is left or `limit` messages are taken. -1 with an exception set. */
static int receive(int fd, uint8_t bus, int limit, Received *received) {
    Round round;
    for (int taken = 0, count = 0, wanted = 0; taken < limit && count == wanted; taken += count) {
        wanted = round_prepare(&round, limit - taken, CONTROL_SIZE);
        count = recvmmsg(fd, round.messages, (unsigned)wanted, MSG_DONTWAIT, NULL);
        if (count < 0 && (taken > 0 || errno == EAGAIN)) return 0;
        if (count < 0) return (void)PyErr_SetFromErrno(PyExc_OSError), -1;
        for (int i = 0; i < count; i++)
            if (take_message(&round.messages[i], &round.frames[i], bus, received) < 0) return -1;
    }
    return 0;
}

PyObject *receive_frames(PyObject *Py_UNUSED(module), PyObject *arguments) {
    int fd, limit;
    uint8_t bus;
    if (!PyArg_ParseTuple(arguments, "ibi:receive_frames", &fd, &bus, &limit)) return NULL;
    Received received = {0};
    PyObject *result = NULL;
    if (receive(fd, bus, limit, &received) == 0) {
        PyObject *dropped = received.overflowed ? PyLong_FromUnsignedLong(received.dropped) : Py_NewRef(Py_None);
        // "N" takes the references over, and passes a NULL on as the error that it is.
        result = Py_BuildValue("(NNN)", buffer_bytes(&received.frames), buffer_bytes(&received.errors), dropped);
    }
    PyMem_Free(received.frames.start);
    PyMem_Free(received.errors.start);
    return result;
}

/* A record as the kernel wants it; the size of what is to be written. */
static size_t frame_of(const Frame *record, struct canfd_frame *frame) {
    bool fd = record->flags & FLAG_FD, remote = !fd && record->flags & FLAG_REMOTE;
    *frame = (struct canfd_frame){.can_id = record->id, .len = record->length};
    if (record->flags & FLAG_EXTENDED) frame->can_id |= CAN_EFF_FLAG;
    if (record->flags & FLAG_ERROR) frame->can_id |= CAN_ERR_FLAG;
    if (remote) frame->can_id |= CAN_RTR_FLAG;
    else memcpy(frame->data, record->data, record->length);
    if (fd) frame->flags = record->flags >> FD_SHIFT & FD_BITS;
    return fd ? FD_SIZE : CLASSIC_SIZE;
}

PyObject *send_frames(PyObject *Py_UNUSED(module), PyObject *arguments) {
    int fd, wanted = 0, taken = 0;
    const char *bytes;
    Py_ssize_t size, sent = 0;
    if (!PyArg_ParseTuple(arguments, "iy#:send_frames", &fd, &bytes, &size)) return NULL;
    const Frame *records = (const Frame *)bytes;
    bool sendable = size % FRAME_SIZE == 0;
    for (Py_ssize_t i = 0; sendable && i < size / FRAME_SIZE; i++)
        sendable = records[i].length <= data_limit(records[i].flags);
    if (!sendable) return PyErr_Format(PyExc_ValueError, "these are no records of frames that a CAN bus can carry");
    while (sent < size / FRAME_SIZE && taken == wanted) {
        Round round;
        wanted = round_prepare(&round, size / FRAME_SIZE - sent, 0);
        for (int i = 0; i < wanted; i++) round.vectors[i].iov_len = frame_of(&records[sent + i], &round.frames[i]);
        taken = sendmmsg(fd, round.messages, (unsigned)wanted, MSG_DONTWAIT);
        if (taken < 0 && sent == 0 && errno != EAGAIN && errno != ENOBUFS) return PyErr_SetFromErrno(PyExc_OSError);
        sent += taken > 0 ? taken : 0;
    }
    return PyLong_FromSsize_t(sent);
}

#endif
