/* The codec's hot path in C: a batch of frames in, the records of every wanted format out.
 *
 * A Program is a plan made ready by bridge/codec/compiled.py: everything that the plan fixes is a
 * number or ready-made bytes here. It writes what bridge/codec/reference.py writes, byte for byte,
 * and calls Python only for what a profile says in Python.
 */
#include "_codec.h"

#include <math.h>

enum { FORMAT_JSON = 1, FORMAT_PROTOBUF = 2 };
enum { KIND_NUMBER, KIND_BOOLEAN, KIND_IGNORE, KIND_STATE, KIND_CHOICE, KIND_FUNCTION, KINDS };
enum { RAW_UNSIGNED, RAW_SIGNED, RAW_FLOAT, RAW_TYPES };
enum { WIDTH_FOUR, WIDTH_EIGHT, WIDTH_ANY };
enum { RULE_CLOCK = 1, RULE_SEND_SAME = 2, RULE_FORCE = 4, RULE_KEEP = 8 };

#define BLOCK 16                /* bytes that copy_block() moves at once; the slack behind every target and source */
#define NUMBER_SPACE 40         /* more than the longest text of a number with its brace and NUL */
#define RAW_SPACE 320           /* more than the longest record of a raw frame, in either format */
#define HEAD_SPACE 48           /* more than {"bus":255,"id":4294967295,"data":"0x */
#define DECIMALS_LIMIT 9        /* as in bridge/codec/numbers.py */
#define INT64_EDGE 0x1p63       /* the first double that a signed 64-bit integer cannot hold */
#define EXACT_EDGE (1ull << 53) /* integers up to here are doubles */
#define NOBODY (-1)

#define INLINE static inline __attribute__((always_inline)) /* a call costs more than the digits */

/* The tables of a plan, as compiled.py packs them: no padding, counts in items, places in the arena in bytes. */

typedef struct {
    uint32_t start;
    uint32_t length;
} Span; /* bytes in the arena */

typedef struct {
    uint64_t mask;
    uint64_t half; /* the sign bit, 0 where there is none */
    uint16_t start;
    uint8_t size;
    uint8_t shift; /* of the first eight bytes, where it is near */
    uint8_t type;
    uint8_t big;
    uint8_t near; /* within the first eight bytes */
    uint8_t zero;
} Field;

typedef struct {
    int64_t value;
    Span json;
    Span protobuf;
} Named; /* the ready records of one value, which a signal has sorted */

typedef struct {
    Field selector;
    uint32_t value_start; /* in the table of named values */
    uint32_t value_count;
} Condition;

typedef struct {
    Field field;
    uint64_t multiplier; /* exact scaling: raw * multiplier + addend, modulo 2^64 */
    uint64_t addend;
    double factor; /* the other one: raw * factor + offset */
    double offset;
    double period;
    Span json_head; /* up to the value */
    Span protobuf_head;
    Span protobuf_zero; /* the whole record of a zero */
    uint32_t named_start;
    uint32_t named_count;
    uint32_t condition_start;
    uint32_t condition_count;
    uint32_t slot;    /* of its published name's state */
    int32_t function; /* KIND_FUNCTION */
    uint8_t kind;
    uint8_t rules;
    uint8_t decimals;
    uint8_t exact;
    uint8_t plain; /* an exact number without rules and conditions */
    uint8_t width; /* WIDTH_*, of an exact number before its point */
    uint8_t zero[2];
} Signal;

typedef struct {
    double period; /* of its raw frames */
    uint32_t force;
    int32_t handler;
    uint32_t signal_start;
    uint32_t signal_count;
    uint64_t json_space; /* bytes that its records take at most; reckoned here */
    uint64_t protobuf_space;
} Message;

typedef struct {
    uint64_t key;
    uint64_t message;
} Key;

_Static_assert(sizeof(Field) == 24 && sizeof(Named) == 24 && sizeof(Condition) == 32, "no padding");
_Static_assert(sizeof(Signal) == 120 && sizeof(Message) == 40 && sizeof(Key) == 16, "no padding");

/* A scaled number as Python has it: an int where the scaling has no decimals, else a float. */
typedef struct {
    double real;
    int64_t integer;
    bool integral;
} Number;

typedef struct {
    Number value;
    double ticked;
    bool received;
} State;

/* What is known of a bus, an id and its format. */
typedef struct {
    uint64_t key;
    int32_t message;
    int32_t watcher;
    double ticked;
    bool seen; /* ticked, length and data are those of its last raw frame */
    uint8_t length;
    uint8_t json_length; /* 0 until its first raw record */
    uint8_t protobuf_length;
    char protobuf_head[16];
    char json_head[HEAD_SPACE];
    uint8_t data[FD_DATA_LIMIT];
} Entry;

typedef struct {
    double period;
    bool force;
    bool passthrough;
    bool bypass;
    size_t counted; /* ids whose raw frames are throttled one by one */
    size_t learned; /* ids that have an entry for their head alone */
} BusState;

typedef struct {
    PyObject_HEAD PyObject *functions; /* list */
    Message *messages;
    Signal *signals;
    Named *named;
    Condition *conditions;
    State *states;
    size_t message_count;
    size_t signal_count;
    size_t named_count;
    size_t condition_count;
    size_t state_count;
    Entry *entries;
    size_t entry_count;
    size_t entry_size;
    uint32_t *index;   /* of the entries by key, each + 1; 0 is free */
    size_t index_size; /* a power of two, more than twice the entries */
    Named *opened;     /* sorted keys */
    size_t opened_count;
    size_t raw_ids_limit;
    Buffer arena;
    Buffer json;
    Buffer protobuf;
    size_t records;
    int formats;
    bool busy;
    BusState buses[256];
} Program;

static const uint64_t POWERS[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};

/* 2^64 / 10^decimals, rounded up; the first has no place here. */
static const uint64_t RECIPROCALS[] = {0u,
                                       1844674407370955162u,
                                       184467440737095517u,
                                       18446744073709552u,
                                       1844674407370956u,
                                       184467440737096u,
                                       18446744073710u,
                                       1844674407371u,
                                       184467440738u,
                                       18446744074u};

/* ---- Text and numbers ---- */

/* Copy in whole blocks; what lies up to a block behind source and target is read and written, too. */
static inline char *copy_block(char *to, const char *from, size_t length) {
    for (size_t done = 0; done < length; done += BLOCK) memcpy(to + done, from + done, BLOCK);
    return to + length;
}

/* The digits of two numbers below 10^4, one in either half, each half's first digit in its lowest byte. */
static inline uint64_t twice_four_digits(uint64_t numbers) {
    uint64_t hundreds = numbers * 10486 >> 20 & 0x0000007F0000007F;
    uint64_t lanes = hundreds | (numbers - 100 * hundreds) << 16;
    uint64_t tens = lanes * 103 >> 10 & 0x000F000F000F000F;
    return tens | (lanes - 10 * tens) << 8;
}

/* The eight digits of a number below 10^8, the first in the lowest byte. */
static inline uint64_t eight_digits(uint32_t number) {
    return twice_four_digits(number / 10000 | (uint64_t)(number % 10000) << 32);
}

static inline void store_eight(char *at, uint64_t digits) {
    digits |= 0x3030303030303030;
    memcpy(at, &digits, sizeof digits);
}

static char *write_large(char *at, uint64_t number);

static inline void store_four(char *at, uint32_t digits) {
    digits |= 0x30303030;
    memcpy(at, &digits, sizeof digits);
}

/* Four digits without leading zeros, of a zero one. */
static inline char *put_whole(char *at, uint32_t digits) {
    int leading = __builtin_ctz(digits | 1u << 24) >> 3;
    store_four(at, digits >> 8 * leading);
    return at + 4 - leading;
}

/* A point and four digits without trailing zeros; of a zero not even the point, and no branch for it. */
static inline char *put_fraction(char *at, uint32_t digits) {
    *at = '.';
    store_four(at + 1, digits);
    return at + ((5 - (__builtin_clz(digits | 1) >> 3)) & -(digits != 0));
}

/* The digits before a point. The width is fixed for a signal, so that no branch depends on its values. */
static inline char *write_unsigned(char *at, uint64_t number, int width) {
    if (width == WIDTH_FOUR) return put_whole(at, (uint32_t)twice_four_digits(number & 0x3FFF));
    if (width == WIDTH_ANY && number >= 100000000) {
        at = write_large(at, number / 100000000);
        store_eight(at, eight_digits((uint32_t)(number % 100000000)));
        return at + 8;
    }
    uint64_t eight = eight_digits((uint32_t)number);
    int leading = __builtin_ctzll(eight | 1ull << 56) >> 3;
    store_eight(at, eight >> 8 * leading);
    return at + 8 - leading;
}

static char *write_large(char *at, uint64_t number) { return write_unsigned(at, number, WIDTH_ANY); }

/* put_fraction() for eight digits. */
static inline char *write_eight(char *at, uint32_t fraction) {
    uint64_t digits = eight_digits(fraction);
    *at = '.';
    store_eight(at + 1, digits);
    return at + ((9 - (__builtin_clzll(digits | 1) >> 3)) & -(digits != 0));
}

/* number / 10^decimals, the rest in `rest`: by the reciprocal, which is rounded up, so one too many at most. */
static inline uint64_t split_decimal(uint64_t number, unsigned decimals, uint64_t *rest) {
#ifdef __SIZEOF_INT128__
    uint64_t whole = (uint64_t)((unsigned __int128)number * RECIPROCALS[decimals] >> 64);
    bool beyond = whole * POWERS[decimals] > number;
    whole -= beyond;
#else
    uint64_t whole = number / POWERS[decimals];
#endif
    *rest = number - whole * POWERS[decimals];
    return whole;
}

/* scaled / 10^decimals as the shortest decimal. */
static inline char *write_decimal(char *at, int64_t scaled, unsigned decimals, int width) {
    uint64_t magnitude = scaled < 0 ? 0 - (uint64_t)scaled : (uint64_t)scaled, part;
    *at = '-';
    at += scaled < 0;
    if (decimals == 0) return write_unsigned(at, magnitude, width);
    uint64_t whole = split_decimal(magnitude, decimals, &part);
    if (decimals <= 4 && width == WIDTH_FOUR) {
        uint64_t digits = twice_four_digits((whole & 0x3FFF) | part * POWERS[4 - decimals] << 32);
        return put_fraction(put_whole(at, (uint32_t)digits), (uint32_t)(digits >> 32));
    }
    at = write_unsigned(at, whole, width);
    if (decimals <= 4) return put_fraction(at, (uint32_t)twice_four_digits(part * POWERS[4 - decimals]));
    if (decimals <= 8) return write_eight(at, (uint32_t)(part * POWERS[8 - decimals]));
    if (part % 10 == 0) return write_eight(at, (uint32_t)(part / 10));
    *at = '.';
    store_eight(at + 1, eight_digits((uint32_t)(part / 10)));
    at[9] = (char)('0' + part % 10);
    return at + 10;
}

/* A finite double as json_format.number_text() says it; NULL with an exception where memory ends. */
static char *write_double(char *at, double value) {
    if (value == floor(value) && value >= -INT64_EDGE && value < INT64_EDGE)
        return write_decimal(at, (int64_t)value, 0, WIDTH_ANY);
    char *text = PyOS_double_to_string(value, 'r', 0, 0, NULL);
    if (text == NULL) return NULL;
    size_t length = strlen(text);
    memcpy(at, text, length);
    PyMem_Free(text);
    return at + length;
}

/* scaled / 10^decimals as Python divides integers: correctly rounded. */
static int divide(int64_t scaled, unsigned decimals, double *result) {
    if (decimals == 0 || (scaled < (int64_t)EXACT_EDGE && scaled > -(int64_t)EXACT_EDGE)) {
        *result = (double)scaled / (double)POWERS[decimals];
        return 0;
    }
    PyObject *dividend = PyLong_FromLongLong(scaled), *divisor = PyLong_FromUnsignedLongLong(POWERS[decimals]);
    PyObject *quotient = dividend != NULL && divisor != NULL ? PyNumber_TrueDivide(dividend, divisor) : NULL;
    Py_XDECREF(dividend);
    Py_XDECREF(divisor);
    if (quotient == NULL) return -1;
    *result = PyFloat_AsDouble(quotient);
    Py_DECREF(quotient);
    return 0;
}

/* Whether two numbers are equal as Python compares them, an int with a float exactly. */
static bool numbers_equal(const Number *one, const Number *other) {
    if (one->integral && other->integral) return one->integer == other->integer;
    if (!one->integral && !other->integral) return one->real == other->real;
    int64_t integer = one->integral ? one->integer : other->integer;
    double real = one->integral ? other->real : one->real;
    return real >= -INT64_EDGE && real < INT64_EDGE && real == floor(real) && (int64_t)real == integer;
}

static PyObject *number_object(const Number *number) {
    return number->integral ? PyLong_FromLongLong(number->integer) : PyFloat_FromDouble(number->real);
}

/* The row of a value in a sorted table; NULL where there is none. */
static const Named *find_value(const Named *rows, size_t count, int64_t value) {
    while (count > 0) {
        size_t middle = count / 2;
        if (rows[middle].value == value) return &rows[middle];
        if (rows[middle].value < value) {
            rows += middle + 1;
            count -= middle + 1;
        } else {
            count = middle;
        }
    }
    return NULL;
}

/* ---- Fields of a frame ---- */

typedef struct {
    const uint8_t *data; /* 64 bytes */
    uint64_t big;        /* the first eight, read in either order */
    uint64_t little;
} View;

static uint64_t far_bits(const Field *field, const uint8_t *data) {
    uint8_t padded[FD_DATA_LIMIT + 9] = {0};
    memcpy(padded, data, FD_DATA_LIMIT);
    const uint8_t *first = padded + field->start / 8;
    unsigned skip = field->start % 8u;
    uint64_t word;
    memcpy(&word, first, sizeof word);
    if (!field->big) {
        word = skip != 0 ? word >> skip | (uint64_t)first[8] << (64 - skip) : word;
        return word & field->mask;
    }
    word = __builtin_bswap64(word);
    word = skip != 0 ? word << skip | (uint64_t)first[8] >> (8 - skip) : word;
    return word >> (64 - field->size);
}

static inline uint64_t field_bits(const Field *field, const View *view) {
    if (field->near) return (field->big ? view->big : view->little) >> field->shift & field->mask;
    return far_bits(field, view->data);
}

static inline uint64_t extend_sign(const Field *field, uint64_t bits) { return (bits ^ field->half) - field->half; }

static double float_of(const Field *field, uint64_t bits) {
    double real;
    if (field->size == 64) {
        memcpy(&real, &bits, sizeof real);
        return real;
    }
    uint32_t half = (uint32_t)bits;
    float single;
    memcpy(&single, &half, sizeof single);
    return (double)single;
}

/* An integer that stands for a raw number in tables; false for one that no table can hold. */
static bool raw_key(const Field *field, uint64_t bits, int64_t *key) {
    if (field->type != RAW_FLOAT) {
        *key = (int64_t)extend_sign(field, bits);
        return true;
    }
    double real = float_of(field, bits);
    if (!(real >= -INT64_EDGE && real < INT64_EDGE && real == floor(real))) return false;
    *key = (int64_t)real;
    return true;
}

static bool is_present(const Program *self, const Signal *signal, const View *view) {
    const Condition *condition = self->conditions + signal->condition_start;
    for (const Condition *end = condition + signal->condition_count; condition < end; condition++) {
        int64_t key;
        if (!raw_key(&condition->selector, field_bits(&condition->selector, view), &key) ||
            find_value(self->named + condition->value_start, condition->value_count, key) == NULL) {
            return false;
        }
    }
    return true;
}

/* ---- Records of signals ---- */

static inline int reserve(Program *self, const Message *message) {
    if (self->formats & FORMAT_JSON && buffer_reserve(&self->json, message->json_space + RAW_SPACE) < 0) return -1;
    if (self->formats & FORMAT_PROTOBUF) return buffer_reserve(&self->protobuf, message->protobuf_space + RAW_SPACE);
    return 0;
}

static inline void write_span(Buffer *buffer, const Buffer *arena, Span span) {
    buffer->used =
        (size_t)(copy_block(buffer->start + buffer->used, arena->start + span.start, span.length) - buffer->start);
}

static inline char *end_json(char *at) {
    memcpy(at, "}", 2); /* and the NUL */
    return at + 2;
}

static inline void write_protobuf_number(Program *self, const Signal *signal, double value) {
    if (value == 0) {
        write_span(&self->protobuf, &self->arena, signal->protobuf_zero);
        return;
    }
    write_span(&self->protobuf, &self->arena, signal->protobuf_head);
    memcpy(self->protobuf.start + self->protobuf.used, &value, sizeof value);
    self->protobuf.used += sizeof value;
}

static inline char *write_head(const Program *self, const Signal *signal, char *at) {
    return copy_block(at, self->arena.start + signal->json_head.start, signal->json_head.length);
}

static inline int write_exact(Program *self, const Signal *signal, int64_t scaled) {
    if (self->formats & FORMAT_JSON) {
        char *at = write_head(self, signal, self->json.start + self->json.used);
        self->json.used =
            (size_t)(end_json(write_decimal(at, scaled, signal->decimals, signal->width)) - self->json.start);
    }
    if (self->formats & FORMAT_PROTOBUF) {
        double value;
        if (divide(scaled, signal->decimals, &value) < 0) return -1;
        write_protobuf_number(self, signal, value);
    }
    self->records++;
    return 0;
}

static int write_inexact(Program *self, const Signal *signal, double value) {
    if (!isfinite(value)) return 0; /* OpenXC has no word for it */
    if (self->formats & FORMAT_JSON) {
        char *at = write_double(write_head(self, signal, self->json.start + self->json.used), value);
        if (at == NULL) return -1;
        self->json.used = (size_t)(end_json(at) - self->json.start);
    }
    if (self->formats & FORMAT_PROTOBUF) write_protobuf_number(self, signal, value);
    self->records++;
    return 0;
}

/* Write the ready record for a value, if there is one. */
static bool write_named(Program *self, const Signal *signal, int64_t value) {
    const Named *named = find_value(self->named + signal->named_start, signal->named_count, value);
    if (named == NULL) return false;
    if (self->formats & FORMAT_JSON) write_span(&self->json, &self->arena, named->json);
    if (self->formats & FORMAT_PROTOBUF) write_span(&self->protobuf, &self->arena, named->protobuf);
    self->records++;
    return true;
}

typedef struct {
    uint64_t bits;
    int64_t scaled; /* exact signals */
    Number number;
} Reading;

static inline int64_t exact_value(const Signal *signal, uint64_t bits) {
    return (int64_t)(extend_sign(&signal->field, bits) * signal->multiplier + signal->addend);
}

static int read_signal(const Signal *signal, const View *view, Reading *reading) {
    reading->bits = field_bits(&signal->field, view);
    if (signal->exact) {
        reading->scaled = exact_value(signal, reading->bits);
        reading->number = (Number){0, reading->scaled, signal->decimals == 0};
        return signal->decimals == 0 ? 0 : divide(reading->scaled, signal->decimals, &reading->number.real);
    }
    uint64_t extended = extend_sign(&signal->field, reading->bits);
    double raw = signal->field.type == RAW_FLOAT    ? float_of(&signal->field, reading->bits)
                 : signal->field.type == RAW_SIGNED ? (double)(int64_t)extended
                                                    : (double)extended;
    reading->number = (Number){raw * signal->factor + signal->offset, 0, false};
    return 0;
}

/* The send rules: (the clock ticks, or a change that is forced) and not (seen, unchanged, same not sent). */
static bool is_due(const Signal *signal, State *state, const Number *now, double timestamp) {
    bool changed = !numbers_equal(now, &state->value);
    bool due = true;
    if (signal->rules & RULE_CLOCK) {
        double elapsed = timestamp - state->ticked;
        due = !(elapsed >= 0 && elapsed < signal->period);
        if (due) state->ticked = timestamp;
        due = due || (signal->rules & RULE_FORCE && changed);
    }
    return due && (signal->rules & RULE_SEND_SAME || changed || !state->received);
}

static int write_signal(Program *self, const Signal *signal, const Reading *reading) {
    const Number *number = &reading->number;
    int64_t key;
    switch (signal->kind) {
    case KIND_BOOLEAN:
        write_named(self, signal, signal->exact ? reading->scaled != 0 : number->real != 0);
        return 0;
    case KIND_STATE:
        if (number->integral) write_named(self, signal, number->integer);
        else if (number->real >= -INT64_EDGE && number->real < INT64_EDGE)
            write_named(self, signal, (int64_t)number->real);
        return 0;
    case KIND_CHOICE:
        if (raw_key(&signal->field, reading->bits, &key) && write_named(self, signal, key)) return 0;
        break;
    case KIND_IGNORE:
        return 0;
    default:
        break;
    }
    return signal->exact ? write_exact(self, signal, reading->scaled) : write_inexact(self, signal, number->real);
}

/* Call a Python function; what it appends may move the buffers, so there is room again afterwards. */
static int call_function(Program *self, Py_ssize_t function, PyObject *arguments) {
    if (arguments == NULL) return -1;
    PyObject *callable = PyList_GetItem(self->functions, function);
    PyObject *result = callable != NULL ? PyObject_Call(callable, arguments, NULL) : NULL;
    Py_DECREF(arguments);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

static int call_signal(Program *self, const Message *message, const Signal *signal, const Number *number, bool due) {
    PyObject *value = number_object(number);
    PyObject *arguments = value != NULL ? Py_BuildValue("(NO)", value, due ? Py_True : Py_False) : NULL;
    return call_function(self, signal->function, arguments) < 0 ? -1 : reserve(self, message);
}

static int run_signal(Program *self, const Message *message, const Signal *signal, const View *view, double timestamp) {
    Reading reading;
    if (!is_present(self, signal, view)) return 0;
    if (read_signal(signal, view, &reading) < 0) return -1;
    State *state = &self->states[signal->slot];
    bool due = is_due(signal, state, &reading.number, timestamp);
    if (signal->kind == KIND_FUNCTION) {
        if (call_signal(self, message, signal, &reading.number, due) < 0) return -1;
    } else if (due && self->formats != 0 && write_signal(self, signal, &reading) < 0) {
        return -1;
    }
    if (signal->rules & RULE_KEEP) {
        state->value = reading.number;
        state->received = true;
    }
    return 0;
}

/* Plain signals that follow one another, to JSON alone: the place to write at stays in a register. */
static inline const Signal *write_plain(Program *self, const Signal *first, const Signal *end, const View *view) {
    char *at = self->json.start + self->json.used;
    const Signal *signal = first;
    for (; signal < end && signal->plain; signal++) {
        int64_t scaled = exact_value(signal, field_bits(&signal->field, view));
        at = end_json(write_decimal(write_head(self, signal, at), scaled, signal->decimals, signal->width));
    }
    self->records += (size_t)(signal - first);
    self->json.used = (size_t)(at - self->json.start);
    return signal;
}

static int run_message(Program *self, const Message *message, const Frame *head, const uint8_t *data) {
    View view = {data, 0, 0};
    memcpy(&view.little, data, sizeof view.little);
    view.big = __builtin_bswap64(view.little);
    if (reserve(self, message) < 0) return -1;
    if (message->handler != NOBODY) {
        PyObject *arguments = Py_BuildValue("(y#i)", (const char *)data, (Py_ssize_t)FD_DATA_LIMIT, head->length);
        if (call_function(self, message->handler, arguments) < 0 || reserve(self, message) < 0) return -1;
    }
    const Signal *signal = self->signals + message->signal_start;
    for (const Signal *end = signal + message->signal_count; signal < end; signal++) {
        if (signal->plain && self->formats == FORMAT_JSON) {
            signal = write_plain(self, signal, end, &view) - 1;
        } else if (signal->plain && self->formats != 0) {
            if (write_exact(self, signal, exact_value(signal, field_bits(&signal->field, &view))) < 0) return -1;
        } else if (run_signal(self, message, signal, &view, head->timestamp) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- What is known of an id ---- */

static inline size_t index_slot(const Program *self, uint64_t key) {
    return (size_t)(key * 0x9E3779B97F4A7C15 >> 20) & (self->index_size - 1);
}

static inline int32_t find_entry(const Program *self, uint64_t key) {
    for (size_t slot = index_slot(self, key);; slot = (slot + 1) & (self->index_size - 1)) {
        uint32_t number = self->index[slot];
        if (number == 0) return NOBODY;
        if (self->entries[number - 1].key == key) return (int32_t)(number - 1);
    }
}

static void index_entry(Program *self, size_t number) {
    size_t slot = index_slot(self, self->entries[number].key);
    while (self->index[slot] != 0) slot = (slot + 1) & (self->index_size - 1);
    self->index[slot] = (uint32_t)number + 1;
}

static int grow_entries(Program *self) {
    size_t size = self->entry_size == 0 ? 64 : self->entry_size * 2;
    Entry *entries = PyMem_Realloc(self->entries, size * sizeof *entries);
    if (entries == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->entries = entries;
    uint32_t *index = PyMem_Calloc(size * 4, sizeof *index);
    if (index == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    PyMem_Free(self->index);
    self->index = index;
    self->index_size = size * 4;
    self->entry_size = size;
    for (size_t number = 0; number < self->entry_count; number++) index_entry(self, number);
    return 0;
}

/* The entry of a key that has none yet; NOBODY with an exception where memory ends. */
static int32_t add_entry(Program *self, uint64_t key) {
    if (self->entry_count >= INT32_MAX / 8 || (self->entry_count == self->entry_size && grow_entries(self) < 0))
        return PyErr_Occurred() != NULL ? NOBODY : (PyErr_NoMemory(), NOBODY);
    size_t number = self->entry_count++;
    self->entries[number] = (Entry){.key = key, .message = NOBODY, .watcher = NOBODY};
    index_entry(self, number);
    return (int32_t)number;
}

/* ---- Raw frames ---- */

static char *write_varint(char *at, uint32_t number) {
    for (; number >= 0x80; number >>= 7) *at++ = (char)(number | 0x80);
    *at++ = (char)number;
    return at;
}

static char *write_text(char *at, const char *text) {
    size_t length = strlen(text);
    memcpy(at, text, length);
    return at + length;
}

static void make_heads(Entry *entry, const Frame *head) {
    char *at = write_text(entry->json_head, "{\"bus\":");
    at = write_text(write_unsigned(at, head->bus, WIDTH_ANY), ",\"id\":");
    at = write_text(write_unsigned(at, head->id, WIDTH_ANY), ",\"data\":\"0x");
    entry->json_length = (uint8_t)(at - entry->json_head);
    at = entry->protobuf_head;
    if (head->bus != 0) {
        *at++ = 0x08;
        at = write_varint(at, head->bus);
    }
    if (head->id != 0) {
        *at++ = 0x10;
        at = write_varint(at, head->id);
    }
    entry->protobuf_length = (uint8_t)(at - entry->protobuf_head);
}

/* The eight hexadecimal digits of four bytes: a nibble into each byte, then to ASCII all at once. */
static inline void store_hex(char *at, const uint8_t *data) {
    uint32_t four;
    memcpy(&four, data, sizeof four);
    uint64_t lanes = four;
    lanes = (lanes | lanes << 16) & 0x0000FFFF0000FFFF;
    lanes = (lanes | lanes << 8) & 0x00FF00FF00FF00FF;
    lanes = (lanes >> 4 & 0x000F000F000F000F) | (lanes & 0x000F000F000F000F) << 8;
    uint64_t letters = (lanes + 0x0606060606060606) >> 4 & 0x0101010101010101;
    lanes += 0x3030303030303030 + letters * ('a' - '9' - 1);
    memcpy(at, &lanes, sizeof lanes);
}

static inline char *write_data(char *at, const uint8_t *data, size_t length) {
    for (size_t i = 0; i < length; i += 8) {
        store_hex(at + 2 * i, data + i);
        store_hex(at + 2 * i + 8, data + i + 4);
    }
    return at + 2 * length;
}

static void write_raw_json(Program *self, const Entry *entry, const Frame *head, const uint8_t *data) {
    char *at = copy_block(self->json.start + self->json.used, entry->json_head, entry->json_length);
    at = write_data(at, data, head->length);
    *at++ = '"';
    if (head->flags & (FLAG_EXTENDED | FLAG_FD)) {
        at = head->flags & FLAG_EXTENDED ? write_text(at, ",\"frame_format\":\"extended\"") : at;
        at = head->flags & FLAG_FD ? write_text(at, ",\"fd\":true") : at;
    }
    self->json.used = (size_t)(end_json(at) - self->json.start);
}

/* Every length in it is below 128, so one byte. */
static void write_raw_protobuf(Program *self, const Entry *entry, const Frame *head, const uint8_t *data) {
    char *record = self->protobuf.start + self->protobuf.used;
    char *at = copy_block(record + 5, entry->protobuf_head, entry->protobuf_length);
    if (head->length != 0) {
        *at++ = 0x1a;
        *at++ = (char)head->length;
        memcpy(at, data, head->length);
        at += head->length;
    }
    if (head->flags & FLAG_EXTENDED) {
        *at++ = 0x20;
        *at++ = 0x02;
    }
    record[0] = (char)(at - record - 1);
    record[1] = 0x08;
    record[2] = 0x01;
    record[3] = 0x12;
    record[4] = (char)(at - record - 5);
    self->protobuf.used += (size_t)(at - record);
}

/* The clock of an id's raw frames, and what a change is worth. */
static bool is_raw_due(Program *self, Entry *entry, double period, bool force, const Frame *head, const uint8_t *data) {
    if (!entry->seen) {
        BusState *bus = &self->buses[head->bus];
        if (bus->counted < self->raw_ids_limit) {
            bus->counted++;
            entry->seen = true;
            entry->ticked = head->timestamp;
            entry->length = head->length;
            memcpy(entry->data, data, head->length);
        }
        return true;
    }
    double elapsed = head->timestamp - entry->ticked;
    bool ticks = !(elapsed >= 0 && elapsed < period);
    if (ticks) entry->ticked = head->timestamp;
    bool changed = entry->length != head->length || memcmp(entry->data, data, head->length) != 0;
    entry->length = head->length;
    memcpy(entry->data, data, head->length);
    return ticks || (force && changed);
}

/* Learn an id that no message defines, as long as the bus has not shown too many. */
static int learn(Program *self, uint64_t key, const BusState *bus, int32_t *number) {
    if ((bus->period > 0 ? bus->counted : bus->learned) < self->raw_ids_limit) {
        *number = add_entry(self, key);
        if (*number == NOBODY) return -1;
        self->buses[key >> 32].learned++;
    }
    return 0;
}

/* Write the raw record of a frame; an id that may not be remembered has its heads made each time. */
static int write_raw(Program *self, Entry *entry, const Frame *head, const uint8_t *data) {
    if (entry->json_length == 0) make_heads(entry, head);
    if (self->formats & FORMAT_JSON) {
        if (buffer_reserve(&self->json, RAW_SPACE) < 0) return -1;
        write_raw_json(self, entry, head, data);
    }
    if (self->formats & FORMAT_PROTOBUF) {
        if (buffer_reserve(&self->protobuf, RAW_SPACE) < 0) return -1;
        write_raw_protobuf(self, entry, head, data);
    }
    self->records += self->formats != 0;
    return 0;
}

static int write_unknown(Program *self, const Frame *head, const uint8_t *data) {
    Entry entry = {.message = NOBODY};
    return write_raw(self, &entry, head, data);
}

/* The raw record of a frame, where acceptance filter and rules let it out. */
static int run_raw(Program *self, uint64_t key, int32_t number, const Frame *head, const uint8_t *data) {
    const BusState *bus = &self->buses[head->bus];
    double period = bus->period;
    bool force = bus->force;
    if (number != NOBODY && self->entries[number].message != NOBODY) {
        const Message *message = &self->messages[self->entries[number].message];
        period = message->period;
        force = message->force;
    } else if (!bus->bypass && find_value(self->opened, self->opened_count, (int64_t)key) == NULL) {
        return 0;
    } else if (number == NOBODY && learn(self, key, bus, &number) < 0) {
        return -1;
    }
    if (number == NOBODY) return write_unknown(self, head, data);
    Entry *entry = &self->entries[number];
    if (period > 0 && !is_raw_due(self, entry, period, force, head, data)) return 0;
    return write_raw(self, entry, head, data);
}

/* ---- A batch ---- */

static int run_frame(Program *self, const char *record) {
    Frame head;
    memcpy(&head, record, offsetof(Frame, data));
    const uint8_t *data = (const uint8_t *)record + offsetof(Frame, data);
    if (head.flags & (FLAG_REMOTE | FLAG_ERROR)) return 0; /* neither becomes a record */
    if (head.length > FD_DATA_LIMIT) {
        PyErr_Format(PyExc_ValueError, "a frame of %d data bytes", head.length);
        return -1;
    }
    uint64_t key = (uint64_t)head.bus << 32 | (uint64_t)(head.flags & FLAG_EXTENDED) << 31 | head.id;
    int32_t number = find_entry(self, key);
    if (number != NOBODY) {
        const Entry *entry = &self->entries[number];
        int32_t message = entry->message;
        if (entry->watcher != NOBODY &&
            call_function(self, entry->watcher, Py_BuildValue("(y#)", data, (Py_ssize_t)head.length)) < 0) {
            return -1;
        }
        if (message != NOBODY && run_message(self, &self->messages[message], &head, data) < 0) return -1;
    }
    return self->buses[head.bus].passthrough ? run_raw(self, key, number, &head, data) : 0;
}

static PyObject *run_batch(Program *self, const char *records, Py_ssize_t size) {
    self->json.used = self->protobuf.used = self->records = 0;
    for (const char *record = records; record < records + size; record += FRAME_SIZE)
        if (run_frame(self, record) < 0) return NULL;
    PyObject *json = buffer_bytes(&self->json), *protobuf = buffer_bytes(&self->protobuf);
    if (json == NULL || protobuf == NULL) {
        Py_XDECREF(json);
        Py_XDECREF(protobuf);
        return NULL;
    }
    return Py_BuildValue("(NNn)", json, protobuf, (Py_ssize_t)self->records);
}

static PyObject *program_translate(Program *self, PyObject *batch) {
    Py_buffer view;
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "a batch is being translated already");
        return NULL;
    }
    if (PyObject_GetBuffer(batch, &view, PyBUF_SIMPLE) < 0) return NULL;
    PyObject *result = NULL;
    if (view.len % FRAME_SIZE != 0) {
        PyErr_Format(PyExc_ValueError, "%zd bytes are no whole frame records", view.len);
    } else {
        self->busy = true;
        result = run_batch(self, view.buf, view.len);
        self->busy = false;
    }
    PyBuffer_Release(&view);
    return result;
}

/* append(json, protobuf): records that a Python function writes while a batch is translated. */
static PyObject *program_append(Program *self, PyObject *arguments) {
    const char *json, *protobuf;
    Py_ssize_t json_size, protobuf_size;
    if (!PyArg_ParseTuple(arguments, "y#y#", &json, &json_size, &protobuf, &protobuf_size)) return NULL;
    if (buffer_reserve(&self->json, (size_t)json_size) < 0 ||
        buffer_reserve(&self->protobuf, (size_t)protobuf_size) < 0) {
        return NULL;
    }
    if (self->formats & FORMAT_JSON) {
        memcpy(self->json.start + self->json.used, json, (size_t)json_size);
        self->json.used += (size_t)json_size;
    }
    if (self->formats & FORMAT_PROTOBUF) {
        memcpy(self->protobuf.start + self->protobuf.used, protobuf, (size_t)protobuf_size);
        self->protobuf.used += (size_t)protobuf_size;
    }
    self->records += self->formats != 0;
    Py_RETURN_NONE;
}

/* ---- What changes while the daemon runs ---- */

static PyObject *program_want(Program *self, PyObject *formats) {
    long wanted = PyLong_AsLong(formats);
    if (wanted < 0 || wanted > (FORMAT_JSON | FORMAT_PROTOBUF))
        return PyErr_Occurred() != NULL ? NULL : PyErr_Format(PyExc_ValueError, "no formats: %ld", wanted);
    self->formats = (int)wanted;
    Py_RETURN_NONE;
}

/* set_bus(bus, passthrough, bypass, period, force) */
static PyObject *program_set_bus(Program *self, PyObject *arguments) {
    unsigned char bus;
    int passthrough, bypass, force;
    double period;
    if (!PyArg_ParseTuple(arguments, "bppdp", &bus, &passthrough, &bypass, &period, &force)) return NULL;
    BusState *state = &self->buses[bus];
    state->passthrough = passthrough;
    state->bypass = bypass;
    state->period = period;
    state->force = force;
    Py_RETURN_NONE;
}

/* A copy of a table of `size`-byte rows; NULL with an exception where that cannot be. */
static void *copy_rows(const char *bytes, Py_ssize_t length, size_t size, size_t *count) {
    void *rows = PyMem_Calloc((size_t)length + 1, 1);
    if (rows == NULL) return PyErr_NoMemory();
    memcpy(rows, bytes, (size_t)length - (size_t)length % size);
    *count = (size_t)length / size;
    return rows;
}

/* open_keys(rows): what diagnostics listen to, as sorted rows of a named table. */
static PyObject *program_open_keys(Program *self, PyObject *table) {
    char *bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(table, &bytes, &length) < 0) return NULL;
    size_t count = 0;
    Named *rows = copy_rows(bytes, length, sizeof *rows, &count);
    if (rows == NULL) return NULL;
    PyMem_Free(self->opened);
    self->opened = rows;
    self->opened_count = count;
    Py_RETURN_NONE;
}

/* watch(key, function): functions[function] gets the data of a key's frames. */
static PyObject *program_watch(Program *self, PyObject *arguments) {
    unsigned long long key;
    int function;
    if (!PyArg_ParseTuple(arguments, "Ki", &key, &function)) return NULL;
    int32_t number = find_entry(self, key);
    if (number == NOBODY && (number = add_entry(self, key)) == NOBODY) return NULL;
    self->entries[number].watcher = function;
    Py_RETURN_NONE;
}

/* state(slot) -> (value, received) */
static PyObject *program_state(Program *self, PyObject *slot) {
    size_t number = PyLong_AsSize_t(slot);
    if (PyErr_Occurred() != NULL || number >= self->state_count)
        return PyErr_Occurred() != NULL ? NULL : PyErr_Format(PyExc_IndexError, "there is no state %zu", number);
    PyObject *value = number_object(&self->states[number].value);
    return value != NULL ? Py_BuildValue("(NO)", value, self->states[number].received ? Py_True : Py_False) : NULL;
}

/* set_state(slot, value, received) */
static PyObject *program_set_state(Program *self, PyObject *arguments) {
    Py_ssize_t slot;
    PyObject *value;
    int received;
    if (!PyArg_ParseTuple(arguments, "nOp", &slot, &value, &received)) return NULL;
    Number number = {0, 0, PyLong_Check(value)};
    if (number.integral) number.integer = PyLong_AsLongLong(value);
    else number.real = PyFloat_AsDouble(value);
    if (PyErr_Occurred() != NULL || slot < 0 || (size_t)slot >= self->state_count)
        return PyErr_Occurred() != NULL ? NULL : PyErr_Format(PyExc_IndexError, "there is no state %zd", slot);
    self->states[slot].value = number;
    self->states[slot].received = received;
    Py_RETURN_NONE;
}

/* ---- Building ---- */

static bool is_range(uint32_t start, uint32_t count, size_t size) { return start <= size && count <= size - start; }

static bool is_span(const Program *self, Span span) { return is_range(span.start, span.length, self->arena.used); }

static bool is_field(const Field *field) {
    bool inside = field->near ? field->shift < 64 : field->size > 0 && field->start + field->size <= 8 * FD_DATA_LIMIT;
    return inside && field->size <= 64 && field->type < RAW_TYPES;
}

/* Whether a signal's row points nowhere else; the space that its records need is added to its message. */
static bool check_signal(const Program *self, const Signal *signal, Message *message) {
    if (!is_field(&signal->field) || signal->slot >= self->state_count || signal->kind >= KINDS ||
        signal->decimals > DECIMALS_LIMIT || !is_span(self, signal->json_head) ||
        !is_span(self, signal->protobuf_head) || !is_span(self, signal->protobuf_zero) ||
        !is_range(signal->named_start, signal->named_count, self->named_count) ||
        !is_range(signal->condition_start, signal->condition_count, self->condition_count)) {
        return false;
    }
    size_t json = signal->json_head.length, protobuf = signal->protobuf_head.length + signal->protobuf_zero.length;
    const Named *named = self->named + signal->named_start;
    for (const Named *end = named + signal->named_count; named < end; named++) {
        json = named->json.length > json ? named->json.length : json;
        protobuf = named->protobuf.length > protobuf ? named->protobuf.length : protobuf;
    }
    message->json_space += json + NUMBER_SPACE + BLOCK;
    message->protobuf_space += protobuf + NUMBER_SPACE + BLOCK;
    return true;
}

static bool check_tables(Program *self) {
    bool right = true;
    for (size_t i = 0; i < self->named_count; i++)
        right = right && is_span(self, self->named[i].json) && is_span(self, self->named[i].protobuf);
    for (size_t i = 0; i < self->condition_count; i++) {
        const Condition *condition = &self->conditions[i];
        right = right && is_field(&condition->selector) &&
                is_range(condition->value_start, condition->value_count, self->named_count);
    }
    for (size_t i = 0; i < self->message_count && right; i++) {
        Message *message = &self->messages[i];
        message->json_space = message->protobuf_space = 0;
        right = is_range(message->signal_start, message->signal_count, self->signal_count);
        for (size_t j = 0; right && j < message->signal_count; j++)
            right = check_signal(self, &self->signals[message->signal_start + j], message);
    }
    return right;
}

static int add_keys(Program *self, const char *bytes, Py_ssize_t length) {
    for (Py_ssize_t at = 0; at + (Py_ssize_t)sizeof(Key) <= length; at += (Py_ssize_t)sizeof(Key)) {
        Key key;
        memcpy(&key, bytes + at, sizeof key);
        if (key.message >= self->message_count) {
            PyErr_SetString(PyExc_ValueError, "the tables do not fit together");
            return -1;
        }
        int32_t number = add_entry(self, key.key);
        if (number == NOBODY) return -1;
        self->entries[number].message = (int32_t)key.message;
    }
    return 0;
}

/* Program(messages, signals, named, conditions, keys, arena, functions, states, raw_ids_limit) */
static int program_fill(Program *self, PyObject *arguments) {
    const char *messages, *signals, *named, *conditions, *keys, *arena;
    PyObject *functions;
    Py_ssize_t message_size, signal_size, named_size, condition_size, key_size, arena_size, states, limit;
    if (!PyArg_ParseTuple(arguments, "y#y#y#y#y#y#O!nn", &messages, &message_size, &signals, &signal_size, &named,
                          &named_size, &conditions, &condition_size, &keys, &key_size, &arena, &arena_size,
                          &PyList_Type, &functions, &states, &limit)) {
        return -1;
    }
    self->functions = Py_NewRef(functions);
    self->messages = copy_rows(messages, message_size, sizeof(Message), &self->message_count);
    self->signals = copy_rows(signals, signal_size, sizeof(Signal), &self->signal_count);
    self->named = copy_rows(named, named_size, sizeof(Named), &self->named_count);
    self->conditions = copy_rows(conditions, condition_size, sizeof(Condition), &self->condition_count);
    self->states = states < 0 || states > INT32_MAX ? NULL : PyMem_Calloc((size_t)states + 1, sizeof *self->states);
    if (PyErr_Occurred() != NULL || self->states == NULL ||
        buffer_reserve(&self->arena, (size_t)arena_size + BLOCK) < 0) {
        return PyErr_Occurred() != NULL ? -1 : (PyErr_NoMemory(), -1);
    }
    memset(self->arena.start, 0, self->arena.size);
    memcpy(self->arena.start, arena, (size_t)arena_size);
    self->arena.used = (size_t)arena_size;
    self->state_count = (size_t)states;
    self->raw_ids_limit = limit < 0 ? 0 : (size_t)limit;
    for (size_t slot = 0; slot < self->state_count; slot++)
        self->states[slot] = (State){{0, 0, true}, -INFINITY, false};
    if (!check_tables(self)) {
        PyErr_SetString(PyExc_ValueError, "the tables do not fit together");
        return -1;
    }
    return grow_entries(self) < 0 ? -1 : add_keys(self, keys, key_size);
}

static PyObject *program_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords)) {
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Program *self = (Program *)allocate(type, 0);
    if (self != NULL && program_fill(self, arguments) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int program_traverse(Program *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->functions);
    return 0;
}

static int program_clear(Program *self) {
    Py_CLEAR(self->functions);
    return 0;
}

static void program_dealloc(Program *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyObject_GC_UnTrack(self);
    program_clear(self);
    PyMem_Free(self->messages);
    PyMem_Free(self->signals);
    PyMem_Free(self->named);
    PyMem_Free(self->conditions);
    PyMem_Free(self->states);
    PyMem_Free(self->entries);
    PyMem_Free(self->index);
    PyMem_Free(self->opened);
    buffer_free(&self->arena);
    buffer_free(&self->json);
    buffer_free(&self->protobuf);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef program_methods[] = {
    {"translate", (PyCFunction)program_translate, METH_O, "translate(records) -> (json, protobuf, count)"},
    {"append", (PyCFunction)program_append, METH_VARARGS, "append(json, protobuf): a record of a Python function"},
    {"want", (PyCFunction)program_want, METH_O, "want(formats): 1 JSON, 2 protobuf, 3 both"},
    {"set_bus", (PyCFunction)program_set_bus, METH_VARARGS, "set_bus(bus, passthrough, bypass, period, force)"},
    {"open_keys", (PyCFunction)program_open_keys, METH_O, "open_keys(rows): the acceptance filter's"},
    {"watch", (PyCFunction)program_watch, METH_VARARGS, "watch(key, function)"},
    {"state", (PyCFunction)program_state, METH_O, "state(slot) -> (value, received)"},
    {"set_state", (PyCFunction)program_set_state, METH_VARARGS, "set_state(slot, value, received)"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot program_slots[] = {
    {Py_tp_new, (void *)program_new},
    {Py_tp_dealloc, (void *)program_dealloc},
    {Py_tp_traverse, (void *)program_traverse},
    {Py_tp_clear, (void *)program_clear},
    {Py_tp_methods, program_methods},
    {Py_tp_doc, "A plan made ready by bridge.codec.compiled."},
    {0, NULL},
};

static PyType_Spec program_spec = {
    .name = "bridge.codec._codec.Program",
    .basicsize = sizeof(Program),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = program_slots,
};

/* ---- The module ---- */

static int module_exec(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &program_spec, NULL);
    if (type == NULL) return -1;
    int added = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    if (added < 0 || PyModule_AddFunctions(module, codec_line_functions) < 0) return -1;
    return PyModule_AddFunctions(module, codec_socketcan_functions);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)module_exec},
#if defined(Py_mod_gil) && defined(Py_GIL_DISABLED)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "bridge.codec._codec",
    .m_doc = "The hot path in C. See bridge.codec.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__codec(void) { return PyModuleDef_Init(&module_definition); }
