/* Text of adapters, logs and apps as frame records, and back.
 *
 * The twin of slcan.py, candump.py and raw_writes.py, which say what each line means.
 */
#include "_codec.h"

#include <math.h>

#define OUTPUT_LINE_LIMIT 192 /* what is written for one frame, without the name of an interface */
#define TIME_LIMIT 0x1p40     /* seconds, further away than any Unix time */

static const uint8_t FD_LENGTHS[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64};
static const char DIGITS[] = "0123456789ABCDEF";

/* A part of the input: a line, a word, or what is still to be read. */
typedef struct {
    const uint8_t *at;
    const uint8_t *end;
} Text;

/* NULL has no bytes. */
static Text text_at(const void *start, Py_ssize_t size) {
    const uint8_t *at = start;
    return (Text){at, size > 0 ? at + size : at};
}

static size_t text_size(Text text) { return (size_t)(text.end - text.at); }

/* The value of a hexadecimal digit in either case, -1 for any other byte. */
static inline int hex_value(uint8_t digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    uint8_t lower = digit | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The value of hexadecimal digits; false where there is anything else, or more than 32 bits. */
static bool read_hex(Text digits, uint32_t *value) {
    uint32_t number = 0;
    for (; digits.at < digits.end; digits.at++) {
        int digit = hex_value(*digits.at);
        if (digit < 0 || number > UINT32_MAX >> 4) return false;
        number = number << 4 | (uint32_t)digit;
    }
    *value = number;
    return true;
}

/* Bytes of two hexadecimal digits; how many, -1 where there is anything else or no room. */
static int read_data(Text digits, uint8_t *data, size_t limit) {
    size_t length = text_size(digits) / 2;
    if (text_size(digits) % 2 != 0 || length > limit) return -1;
    for (size_t i = 0; i < length; i++) {
        int byte = hex_value(digits.at[2 * i]) * 16 | hex_value(digits.at[2 * i + 1]);
        if (byte < 0) return -1;
        data[i] = (uint8_t)byte;
    }
    return (int)length;
}

/* A number with at least so many digits; the end of what was written. */
static char *write_number(char *at, uint64_t value, unsigned base, int least) {
    if (value >= base || least > 1) at = write_number(at, value / base, base, least - 1);
    *at = DIGITS[value % base];
    return at + 1;
}

/* Append an item that is given away, NULL after an exception. */
static int append(PyObject *list, PyObject *item) {
    int result = item == NULL ? -1 : PyList_Append(list, item);
    Py_XDECREF(item);
    return result;
}

/* Whether id and length are what the format has, and it is not the remote frame that CAN FD has not. */
static bool is_frame(const Frame *frame) {
    bool wide = frame->flags & (FLAG_EXTENDED | FLAG_ERROR), remote = frame->flags & FLAG_REMOTE;
    return frame->id <= (wide ? EXTENDED_ID_MAX : STANDARD_ID_MAX) && frame->length <= data_limit(frame->flags) &&
           !(remote && frame->flags & FLAG_FD);
}

typedef char *(*LineWriter)(char *at, const Frame *frame, Text name);

/* A line for each record, by a writer that gives NULL for a frame that no line can say. */
static PyObject *write_lines(PyObject *arguments, const char *format, LineWriter write_line) {
    const char *record, *name = NULL;
    Py_ssize_t size, name_size = 0;
    if (!PyArg_ParseTuple(arguments, format, &record, &size, &name, &name_size) || !are_records(size)) return NULL;
    Buffer lines = {0};
    const char *end = record + size;
    for (; record < end && buffer_reserve(&lines, OUTPUT_LINE_LIMIT + (size_t)name_size) == 0; record += FRAME_SIZE) {
        const Frame *frame = (const Frame *)record;
        char *line_end = write_line(lines.at, frame, text_at(name, name_size));
        if (line_end == NULL) {
            PyErr_Format(PyExc_ValueError, "no line says a frame with the id 0x%x, flags 0x%x and %d bytes", frame->id,
                         frame->flags, frame->length);
            break;
        }
        lines.at = line_end;
    }
    PyObject *result = record == end ? buffer_bytes(&lines) : NULL;
    PyMem_Free(lines.start);
    return result;
}

/* Lines of adapters */

#define SLCAN_LINE_LIMIT 144 /* without its end, with a line feed on either side */
#define SLCAN_STAMP_DIGITS 4
#define SLCAN_COUNTER_PERIOD 60.0
#define SLCAN_COUNTER_MAX 59999u

/* The place of a letter says its flags: an odd one is extended, each two share the others. */
static const char SLCAN_LETTERS[] = "tTrRdDbB";
static const uint8_t SLCAN_FLAGS[] = {0, FLAG_REMOTE, FLAG_FD, FLAG_FD | FLAG_BITRATE_SWITCH};

typedef struct {
    uint8_t bus;
    double now;
    double epoch; /* NAN for none */
    Buffer records;
    PyObject *answers;
    Py_ssize_t invalid;
} Slcan;

/* Each operation is rounded by itself and in this order, so that both twins agree in every bit. */
static double slcan_time(const Slcan *slcan, uint32_t milliseconds) {
    if (isnan(slcan->epoch) || milliseconds > SLCAN_COUNTER_MAX) return slcan->now;
    double first = slcan->epoch + (double)milliseconds / 1000.0;
    return first + SLCAN_COUNTER_PERIOD * floor((slcan->now - first) / SLCAN_COUNTER_PERIOD + 0.5);
}

/* Whether so many digits may be the data of a frame, without its timestamp. */
static bool is_slcan_data(uint8_t flags, uint32_t dlc, size_t digits) {
    if (digits == 2 * (size_t)FD_LENGTHS[dlc]) return true;
    if (digits == 0) return flags & FLAG_REMOTE;
    return !(flags & FLAG_FD) && dlc > CLASSIC_DATA_LIMIT && (digits == 2 * CLASSIC_DATA_LIMIT || digits == 2 * dlc);
}

static bool read_slcan_frame(const Slcan *slcan, Text line, uint8_t flags, Frame *frame) {
    size_t digits = flags & FLAG_EXTENDED ? 8 : 3;
    uint32_t id, dlc, stamp;
    if (text_size(line) < digits + 2) return false;
    const uint8_t *data = line.at + digits + 2;
    if (!read_hex((Text){line.at + 1, data - 1}, &id) || !read_hex((Text){data - 1, data}, &dlc)) return false;
    uint8_t length = flags & FLAG_FD || dlc <= CLASSIC_DATA_LIMIT ? FD_LENGTHS[dlc] : CLASSIC_DATA_LIMIT;
    *frame = (Frame){slcan->now, id, slcan->bus, flags, length, 0, {0}};
    size_t rest = (size_t)(line.end - data);
    if (rest >= SLCAN_STAMP_DIGITS && is_slcan_data(flags, dlc, rest - SLCAN_STAMP_DIGITS)) {
        line.end -= SLCAN_STAMP_DIGITS;
        if (!read_hex((Text){line.end, line.end + SLCAN_STAMP_DIGITS}, &stamp)) return false;
        frame->timestamp = slcan_time(slcan, stamp);
    } else if (!is_slcan_data(flags, dlc, rest)) {
        return false;
    }
    int said = read_data((Text){data, line.end}, frame->data, FD_DATA_LIMIT), kept = flags & FLAG_REMOTE ? 0 : length;
    if (said > kept) memset(frame->data + kept, 0, (size_t)(said - kept));
    return said >= 0 && is_frame(frame);
}

static bool is_answer(Text line) {
    uint8_t letter = *line.at | 0x20;
    while (line.at < line.end && *line.at >= ' ' && *line.at <= '~') line.at++;
    return letter >= 'a' && letter <= 'z' && line.at == line.end;
}

/* What stands in front of a carriage return or a BEL. */
static int take_slcan_line(Slcan *slcan, Text line, uint8_t terminator) {
    bool too_long = text_size(line) > SLCAN_LINE_LIMIT;
    while (!too_long && line.at < line.end && *line.at == '\n') line.at++;
    while (!too_long && line.at < line.end && line.end[-1] == '\n') line.end--;
    bool empty = line.at == line.end;
    if (terminator == '\a') {
        slcan->invalid += !empty;
        return append(slcan->answers, PyBytes_FromStringAndSize("\a", 1));
    }
    const char *letter = empty || too_long ? NULL : memchr(SLCAN_LETTERS, *line.at, sizeof SLCAN_LETTERS - 1);
    if (letter != NULL) {
        size_t place = (size_t)(letter - SLCAN_LETTERS);
        Frame frame;
        if (read_slcan_frame(slcan, line, SLCAN_FLAGS[place / 2] | (place & 1 ? FLAG_EXTENDED : 0), &frame))
            return buffer_append(&slcan->records, &frame, FRAME_SIZE);
    } else if (empty || (!too_long && is_answer(line))) {
        return append(slcan->answers, PyBytes_FromStringAndSize((const char *)line.at, line.end - line.at));
    }
    slcan->invalid++;
    return 0;
}

/* Where the line begins that has no end yet; NULL with an exception. */
static const uint8_t *take_slcan_lines(Slcan *slcan, Text data) {
    for (const uint8_t *at = data.at; at < data.end; at++) {
        if (*at != '\r' && *at != '\a') continue;
        if (take_slcan_line(slcan, (Text){data.at, at}, *at) < 0) return NULL;
        data.at = at + 1;
    }
    return data.at;
}

PyObject *parse_slcan(PyObject *Py_UNUSED(module), PyObject *arguments) {
    Py_buffer data;
    PyObject *epoch = Py_None, *result = NULL;
    Slcan slcan = {0};
    if (!PyArg_ParseTuple(arguments, "y*bd|O", &data, &slcan.bus, &slcan.now, &epoch)) return NULL;
    slcan.epoch = epoch == Py_None ? NAN : PyFloat_AsDouble(epoch);
    if (epoch != Py_None && !(fabs(slcan.now - slcan.epoch) < TIME_LIMIT) && PyErr_Occurred() == NULL)
        PyErr_Format(PyExc_ValueError, "%R and now are no two Unix times", epoch);
    slcan.answers = PyErr_Occurred() == NULL ? PyList_New(0) : NULL;
    const uint8_t *rest = slcan.answers == NULL ? NULL : take_slcan_lines(&slcan, text_at(data.buf, data.len));
    if (rest != NULL) {
        Py_ssize_t kept = data.len - (rest - (const uint8_t *)data.buf);
        Py_ssize_t consumed = data.len - (kept < SLCAN_LINE_LIMIT + 1 ? kept : SLCAN_LINE_LIMIT + 1);
        result = Py_BuildValue("(NOnn)", buffer_bytes(&slcan.records), slcan.answers, consumed, slcan.invalid);
    }
    Py_XDECREF(slcan.answers);
    PyMem_Free(slcan.records.start);
    PyBuffer_Release(&data);
    return result;
}

static char *write_slcan_line(char *at, const Frame *frame, Text Py_UNUSED(name)) {
    const uint8_t *dlc = memchr(FD_LENGTHS, frame->length, sizeof FD_LENGTHS);
    bool extended = frame->flags & FLAG_EXTENDED, remote = frame->flags & FLAG_REMOTE;
    if (dlc == NULL || !is_frame(frame) || frame->flags & FLAG_ERROR) return NULL;
    int place = remote ? 2 : !(frame->flags & FLAG_FD) ? 0 : frame->flags & FLAG_BITRATE_SWITCH ? 6 : 4;
    *at++ = SLCAN_LETTERS[place + extended];
    at = write_number(at, frame->id, 16, extended ? 8 : 3);
    *at++ = DIGITS[dlc - FD_LENGTHS];
    at = write_hex(at, frame->data, remote ? 0 : frame->length, 'A');
    *at++ = '\r';
    return at;
}

PyObject *slcan_lines(PyObject *Py_UNUSED(module), PyObject *arguments) {
    return write_lines(arguments, "y#", write_slcan_line);
}

/* Lines of logs */

#define ERROR_BIT 0x20000000u
#define SECONDS_DIGITS 12
#define MICROSECONDS_DIGITS 6
#define DECIMALS_LIMIT 20

static bool is_space(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

/* The next word of a line, empty at its end. */
static Text next_word(Text *line) {
    while (line->at < line->end && is_space(*line->at)) line->at++;
    Text word = *line;
    while (line->at < line->end && !is_space(*line->at)) line->at++;
    word.end = line->at;
    return word;
}

/* Up to so many decimal digits; how many there were. */
static size_t take_digits(Text *text, size_t limit, uint64_t *value) {
    const uint8_t *start = text->at, *end = text_size(*text) > limit ? start + limit : text->end;
    for (*value = 0; text->at < end && *text->at >= '0' && *text->at <= '9'; text->at++)
        *value = *value * 10 + (uint64_t)(*text->at - '0');
    return (size_t)(text->at - start);
}

/* "(1436509052.249713)"; digits behind the microseconds do not count. */
static bool read_stamp(Text word, Frame *frame) {
    uint64_t seconds, microseconds = 0, rest;
    if (text_size(word) < 3 || *word.at++ != '(' || *--word.end != ')') return false;
    if (take_digits(&word, SECONDS_DIGITS, &seconds) == 0) return false;
    if (word.at < word.end && *word.at == '.') {
        word.at++;
        size_t digits = take_digits(&word, MICROSECONDS_DIGITS, &microseconds);
        for (; digits < MICROSECONDS_DIGITS; digits++) microseconds *= 10;
        take_digits(&word, DECIMALS_LIMIT - MICROSECONDS_DIGITS, &rest);
    }
    frame->timestamp = (double)(seconds * 1000000 + microseconds) / 1e6;
    return word.at == word.end;
}

/* The id and the flags that it gives. */
static bool read_candump_id(Text digits, Frame *frame) {
    uint32_t id;
    bool wide = text_size(digits) > 3;
    if (digits.at == digits.end || !read_hex(digits, &id)) return false;
    bool error = wide && id >= ERROR_BIT;
    frame->flags = error ? FLAG_ERROR : wide ? FLAG_EXTENDED : 0;
    frame->id = error ? id - ERROR_BIT : id;
    return frame->id <= (wide ? EXTENDED_ID_MAX : STANDARD_ID_MAX);
}

/* What stands behind the first "#". */
static bool read_candump_data(Text rest, Frame *frame) {
    uint8_t digits[2 * FD_DATA_LIMIT];
    size_t count = 0;
    if (text_size(rest) >= 2 && rest.end[-2] == '_' && hex_value(rest.end[-1]) >= 0)
        rest.end -= 2; /* a raw DLC above 8 */
    if (rest.at < rest.end && (*rest.at | 0x20) == 'r') {
        frame->flags |= FLAG_REMOTE;
        frame->length = text_size(rest) == 2 ? (uint8_t)(rest.at[1] - '0') : 0;
        return text_size(rest) <= 2 && frame->length <= CLASSIC_DATA_LIMIT;
    }
    if (rest.at < rest.end && *rest.at == '#') {
        int bits = text_size(rest) < 2 ? -1 : hex_value(rest.at[1]);
        if (bits < 0) return false;
        frame->flags = (uint8_t)(frame->flags | FLAG_FD | (bits & FD_BITS) << FD_SHIFT);
        rest.at += 2;
    }
    for (; rest.at < rest.end; rest.at++) {
        if (*rest.at == '.') continue;
        if (count == sizeof digits) return false;
        digits[count++] = *rest.at;
    }
    int length = read_data((Text){digits, digits + count}, frame->data, (size_t)data_limit(frame->flags));
    frame->length = (uint8_t)(length & 0x7F);
    return length >= 0;
}

/* 1 for a record, 0 for an empty line or another channel's, -1 for what is no line. */
static int read_candump_line(Text line, Text channel, Frame *frame) {
    Text stamp = next_word(&line), interface = next_word(&line), text = next_word(&line);
    Text direction = next_word(&line), more = next_word(&line);
    if (stamp.at == stamp.end) return 0;
    if (text.at == text.end || more.at < more.end || text_size(direction) > 1 ||
        (direction.at < direction.end && *direction.at != 'R' && *direction.at != 'T') || !read_stamp(stamp, frame)) {
        return -1;
    }
    size_t size = text_size(interface);
    if (channel.at != NULL && (size != text_size(channel) || memcmp(interface.at, channel.at, size) != 0)) return 0;
    const uint8_t *separator = memchr(text.at, '#', text_size(text));
    if (separator == NULL || !read_candump_id((Text){text.at, separator}, frame)) return -1;
    return read_candump_data((Text){separator + 1, text.end}, frame) ? 1 : -1;
}

/* Append the records of many lines; how many made no sense, -1 with an exception. */
static Py_ssize_t take_candump_lines(Text text, uint8_t bus, Text channel, Buffer *records) {
    Py_ssize_t invalid = 0;
    while (text.at < text.end) {
        const uint8_t *end = memchr(text.at, '\n', text_size(text));
        Text line = {text.at, end == NULL ? text.end : end};
        Frame frame = {.bus = bus};
        int found = read_candump_line(line, channel, &frame);
        if (found > 0 && buffer_append(records, &frame, FRAME_SIZE) < 0) return -1;
        invalid += found < 0;
        text.at = end == NULL ? text.end : end + 1;
    }
    return invalid;
}

PyObject *parse_candump(PyObject *Py_UNUSED(module), PyObject *arguments) {
    Py_buffer text;
    PyObject *name = Py_None;
    char *channel = NULL;
    Py_ssize_t size = 0, invalid = -1;
    uint8_t bus;
    if (!PyArg_ParseTuple(arguments, "y*b|O", &text, &bus, &name)) return NULL;
    Buffer records = {0};
    if (name == Py_None || PyBytes_AsStringAndSize(name, &channel, &size) == 0)
        invalid = take_candump_lines(text_at(text.buf, text.len), bus, text_at(channel, size), &records);
    PyObject *result = invalid < 0 ? NULL : Py_BuildValue("(Nn)", buffer_bytes(&records), invalid);
    PyMem_Free(records.start);
    PyBuffer_Release(&text);
    return result;
}

static char *write_candump_line(char *at, const Frame *frame, Text interface) {
    bool error = frame->flags & FLAG_ERROR;
    if (!is_frame(frame) || !(frame->timestamp >= 0.0 && frame->timestamp < TIME_LIMIT)) return NULL;
    uint64_t time = (uint64_t)(frame->timestamp * 1e6 + 0.5);
    *at++ = '(';
    at = write_number(at, time / 1000000, 10, 10);
    *at++ = '.';
    at = write_number(at, time % 1000000, 10, MICROSECONDS_DIGITS);
    *at++ = ')';
    *at++ = ' ';
    memcpy(at, interface.at, text_size(interface));
    at += text_size(interface);
    *at++ = ' ';
    at = write_number(at, frame->id | (error ? ERROR_BIT : 0), 16, error || frame->flags & FLAG_EXTENDED ? 8 : 3);
    *at++ = '#';
    if (frame->flags & FLAG_FD) {
        *at++ = '#';
        *at++ = DIGITS[frame->flags >> FD_SHIFT & FD_BITS];
    }
    if (!(frame->flags & FLAG_REMOTE)) {
        at = write_hex(at, frame->data, frame->length, 'A');
    } else {
        *at++ = 'R';
        *at = DIGITS[frame->length];
        at += frame->length > 0;
    }
    *at++ = '\n';
    return at;
}

PyObject *candump_lines(PyObject *Py_UNUSED(module), PyObject *arguments) {
    return write_lines(arguments, "y#y#", write_candump_line);
}

/* Writes of raw CAN frames */

#define BUS_MAX 255u
#define ID_DIGITS 9

typedef enum { NONE, ID = 1, DATA = 2, BUS = 4, FORMAT = 8, FD = 16 } Key;

typedef struct {
    unsigned keys; /* those that were there */
    uint32_t id;
    uint32_t bus;
    int length;
    bool extended;
    bool fd;
    uint8_t data[FD_DATA_LIMIT];
} CanWrite;

/* Step over exactly this, if it stands here. */
static bool take(Text *text, const char *wanted) {
    size_t size = strlen(wanted);
    bool found = text_size(*text) >= size && memcmp(text->at, wanted, size) == 0;
    text->at += found ? size : 0;
    return found;
}

/* An integer of JSON without a sign. */
static bool take_integer(Text *text, uint32_t *value) {
    bool zero = text->at < text->end && *text->at == '0';
    uint64_t number;
    size_t digits = take_digits(text, ID_DIGITS, &number);
    *value = (uint32_t)number;
    return digits == 1 || (digits > 1 && !zero);
}

/* Whole bytes in quotation marks, with or without "0x". */
static bool take_data(Text *text, CanWrite *can_write) {
    if (!take(text, "\"")) return false;
    (void)(take(text, "0x") || take(text, "0X"));
    size_t rest = text_size(*text), limit = 2 * FD_DATA_LIMIT + 1;
    const uint8_t *end = memchr(text->at, '"', rest < limit ? rest : limit);
    if (end == NULL) return false;
    can_write->length = read_data((Text){text->at, end}, can_write->data, FD_DATA_LIMIT);
    text->at = end + 1;
    return can_write->length >= 0;
}

/* One of two words; whether it is the first. */
static bool take_either(Text *text, const char *first, const char *second, bool *is_first) {
    *is_first = take(text, first);
    return *is_first || take(text, second);
}

/* A key that was not there yet, and its value. */
static bool take_field(Text *text, CanWrite *can_write) {
    Key key = take(text, "\"id\":")                                          ? ID
              : take(text, "\"data\":")                                      ? DATA
              : take(text, "\"bus\":")                                       ? BUS
              : take(text, "\"frame_format\":") || take(text, "\"format\":") ? FORMAT
              : take(text, "\"fd\":")                                        ? FD
                                                                             : NONE;
    if (key == NONE || can_write->keys & key) return false;
    can_write->keys |= key;
    take(text, " ");
    if (key == ID) return take_integer(text, &can_write->id);
    if (key == BUS) return take_integer(text, &can_write->bus);
    if (key == DATA) return take_data(text, can_write);
    if (key == FD) return take_either(text, "true", "false", &can_write->fd);
    return take_either(text, "\"extended\"", "\"standard\"", &can_write->extended);
}

/* One record in plain form. That no key comes twice bounds what is read of a record without an end. */
static bool take_can_write(Text *text, CanWrite *can_write) {
    *can_write = (CanWrite){0};
    if (!take(text, "{")) return false;
    do {
        take(text, can_write->keys ? " " : "");
        if (!take_field(text, can_write)) return false;
    } while (take(text, ","));
    if (text_size(*text) < 2 || text->at[0] != '}' || text->at[1] != 0) return false;
    text->at += 2;
    int limit = can_write->fd ? FD_DATA_LIMIT : CLASSIC_DATA_LIMIT;
    can_write->length = can_write->length < limit ? can_write->length : limit;
    bool standard = can_write->keys & FORMAT && !can_write->extended;
    return can_write->keys & ID && can_write->keys & DATA && can_write->bus <= BUS_MAX &&
           can_write->id <= (standard ? STANDARD_ID_MAX : EXTENDED_ID_MAX);
}

static PyObject *can_write_tuple(const CanWrite *can_write) {
    PyObject *extended = can_write->extended ? Py_True : Py_False;
    return Py_BuildValue("(Iy#IOO)", can_write->id, can_write->data, (Py_ssize_t)can_write->length, can_write->bus,
                         can_write->keys & FORMAT ? extended : Py_None, can_write->fd ? Py_True : Py_False);
}

PyObject *can_writes(PyObject *Py_UNUSED(module), PyObject *arguments) {
    Py_buffer data;
    Py_ssize_t position;
    if (!PyArg_ParseTuple(arguments, "y*n", &data, &position)) return NULL;
    bool inside = position >= 0 && position <= data.len;
    if (!inside) PyErr_Format(PyExc_ValueError, "there is no position %zd in %zd bytes", position, data.len);
    PyObject *writes = inside ? PyList_New(0) : NULL;
    Text text = text_at(data.buf, data.len);
    text.at += inside ? position : 0;
    CanWrite can_write;
    for (Text rest = text; writes != NULL && take_can_write(&rest, &can_write); text = rest)
        if (append(writes, can_write_tuple(&can_write)) < 0) Py_CLEAR(writes);
    position = text.at - (const uint8_t *)data.buf;
    PyBuffer_Release(&data);
    return writes == NULL ? NULL : Py_BuildValue("(Nn)", writes, position);
}
