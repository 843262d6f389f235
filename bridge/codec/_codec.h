/* What the files of the C codec share: the frame record, a growing output buffer, hexadecimal digits.
 *
 * The codec is one extension module, bridge.codec._codec: _codec.c translates frames by a plan,
 * _lines.c reads and writes text of adapters, logs and apps, _socketcan.c reads and writes a CAN
 * socket. Each function here has a Python twin with the same name and the same bytes. There is no
 * global state: what lasts lives in the objects.
 */
#ifndef OPENXC_BRIDGE_CODEC_H
#define OPENXC_BRIDGE_CODEC_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the C codec is written for little-endian machines; the Python one runs everywhere"
#endif

/* One record of a FrameBatch (bridge/frames.py): without padding, and in Python's bytes at any address. */
typedef struct __attribute__((packed, may_alias)) {
    double timestamp; /* Unix seconds */
    uint32_t id;      /* 11 or 29 bits, no flag bits */
    uint8_t bus;
    uint8_t flags;
    uint8_t length; /* 0 to 64 */
    uint8_t zero;
    uint8_t data[64]; /* padded with zeros */
} Frame;

#define FRAME_SIZE 80
_Static_assert(sizeof(Frame) == FRAME_SIZE, "a frame record has no padding");

/* FrameFlags of bridge/frames.py. */
enum {
    FLAG_EXTENDED = 1,
    FLAG_FD = 2,
    FLAG_BITRATE_SWITCH = 4,
    FLAG_ERROR_STATE_INDICATOR = 8,
    FLAG_REMOTE = 16,
    FLAG_ERROR = 32,
    FLAG_OWN = 64
};

/* Bit rate switch and error state indicator are 1 and 2 in linux/can.h and in logs, and lie two bits higher here. */
#define FD_BITS 3
#define FD_SHIFT 2
_Static_assert(FLAG_BITRATE_SWITCH == 1 << FD_SHIFT && FLAG_ERROR_STATE_INDICATOR == 2 << FD_SHIFT, "two bits higher");

#define STANDARD_ID_MAX 0x7FFu
#define EXTENDED_ID_MAX 0x1FFFFFFFu
#define CLASSIC_DATA_LIMIT 8
#define FD_DATA_LIMIT 64

static inline int data_limit(unsigned flags) { return flags & FLAG_FD ? FD_DATA_LIMIT : CLASSIC_DATA_LIMIT; }

/* Whether so many bytes are whole records; false with ValueError. */
static inline bool are_records(Py_ssize_t size) {
    if (size % FRAME_SIZE == 0) return true;
    PyErr_Format(PyExc_ValueError, "frame records are a multiple of %d bytes, not %zd", FRAME_SIZE, size);
    return false;
}

/* Bytes on their way to Python: written up to `at`, allocated up to `end`. */
typedef struct {
    char *start;
    char *at;
    char *end;
} Buffer;

static inline int buffer_grow(Buffer *buffer, size_t more) {
    size_t used = (size_t)(buffer->at - buffer->start), size = (used + more) * 2;
    char *start = more > (size_t)PY_SSIZE_T_MAX / 2 - used ? NULL : PyMem_Realloc(buffer->start, size);
    if (start == NULL) return (void)PyErr_NoMemory(), -1;
    *buffer = (Buffer){start, start + used, start + size};
    return 0;
}

/* Room for `more` bytes behind what is written; -1 with MemoryError where there is none. */
static inline int buffer_reserve(Buffer *buffer, size_t more) {
    return (size_t)(buffer->end - buffer->at) >= more ? 0 : buffer_grow(buffer, more);
}

static inline int buffer_append(Buffer *buffer, const void *bytes, size_t size) {
    if (buffer_reserve(buffer, size) < 0) return -1;
    memcpy(buffer->at, bytes, size);
    buffer->at += size;
    return 0;
}

/* What is written as a bytes object; the buffer is left as it is. */
static inline PyObject *buffer_bytes(const Buffer *buffer) {
    return PyBytes_FromStringAndSize(buffer->start, buffer->at - buffer->start);
}

/* The eight hexadecimal digits of four bytes, from `a` or `A` on: a nibble into each byte, then to ASCII all at once.
 */
static inline void store_hex(char *at, const uint8_t *data, char a) {
    uint32_t four;
    memcpy(&four, data, sizeof four);
    uint64_t lanes = four;
    lanes = (lanes | lanes << 16) & 0x0000FFFF0000FFFF;
    lanes = (lanes | lanes << 8) & 0x00FF00FF00FF00FF;
    lanes = (lanes >> 4 & 0x000F000F000F000F) | (lanes & 0x000F000F000F000F) << 8;
    uint64_t letters = (lanes + 0x0606060606060606) >> 4 & 0x0101010101010101;
    lanes += 0x3030303030303030 + letters * (uint64_t)(a - '9' - 1);
    memcpy(at, &lanes, sizeof lanes);
}

/* Two digits a byte of a frame's data. Eight bytes at once are read and written: there is room for that. */
static inline char *write_hex(char *at, const uint8_t *data, size_t length, char a) {
    for (size_t i = 0; i < length; i += 8) {
        store_hex(at + 2 * i, data + i, a);
        store_hex(at + 2 * i + 8, data + i + 4, a);
    }
    return at + 2 * length;
}

/* The module's functions, as _codec.pyi describes them. */
PyObject *parse_slcan(PyObject *module, PyObject *arguments);
PyObject *slcan_lines(PyObject *module, PyObject *arguments);
PyObject *parse_candump(PyObject *module, PyObject *arguments);
PyObject *candump_lines(PyObject *module, PyObject *arguments);
PyObject *can_writes(PyObject *module, PyObject *arguments);
PyObject *receive_frames(PyObject *module, PyObject *arguments); /* on Linux, as the next one */
PyObject *send_frames(PyObject *module, PyObject *arguments);

#endif
