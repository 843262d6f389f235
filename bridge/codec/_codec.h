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

/* One record of a FrameBatch (bridge/frames.py), without padding. */
typedef struct {
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
_Static_assert(offsetof(Frame, data) == 16, "a frame record has no padding");

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

#define STANDARD_ID_MAX 0x7FFu
#define EXTENDED_ID_MAX 0x1FFFFFFFu
#define CLASSIC_DATA_LIMIT 8
#define FD_DATA_LIMIT 64

/* Bytes on their way to Python: `used` of them are written, `size` are allocated. */
typedef struct {
    char *start;
    size_t used;
    size_t size;
} Buffer;

static inline int buffer_grow(Buffer *buffer, size_t more) {
    size_t size = (buffer->used + more) * 2;
    char *start = more > (size_t)PY_SSIZE_T_MAX / 2 - buffer->used ? NULL : PyMem_Realloc(buffer->start, size);
    if (start == NULL) return (void)PyErr_NoMemory(), -1;
    buffer->start = start;
    buffer->size = size;
    return 0;
}

/* Room for `more` bytes behind what is written; -1 with MemoryError where there is none. */
static inline int buffer_reserve(Buffer *buffer, size_t more) {
    return buffer->size - buffer->used >= more ? 0 : buffer_grow(buffer, more);
}

static inline void buffer_free(Buffer *buffer) {
    PyMem_Free(buffer->start);
    *buffer = (Buffer){NULL, 0, 0};
}

/* What is written as a bytes object; the buffer is left as it is. */
static inline PyObject *buffer_bytes(const Buffer *buffer) {
    return PyBytes_FromStringAndSize(buffer->start, (Py_ssize_t)buffer->used);
}

static const char HEX_LOWER[] = "0123456789abcdef";
static const char HEX_UPPER[] = "0123456789ABCDEF";

/* Two digits a byte; the end of what was written. */
static inline char *write_hex(char *at, const uint8_t *data, size_t length, const char *digits) {
    for (size_t i = 0; i < length; i++) {
        *at++ = digits[data[i] >> 4];
        *at++ = digits[data[i] & 15];
    }
    return at;
}

/* The value of a hexadecimal digit in either case, -1 for any other byte. */
static inline int hex_value(unsigned char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    unsigned char lower = (unsigned char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Tables of module functions, one for each file. */
extern PyMethodDef codec_line_functions[];
extern PyMethodDef codec_socketcan_functions[];

#endif
