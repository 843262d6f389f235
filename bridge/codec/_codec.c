/* The codec's hot path in C: a batch of frames in, the records of every wanted format out.
 *
 * A Program is a plan made ready by bridge/codec/compiled.py: everything that the plan fixes is a
 * number or ready-made bytes here. It writes what bridge/codec/reference.py writes, byte for byte,
 * and calls Python only for what a profile says in Python.
 */
#include "_codec.h"

#include <math.h>

enum { FORMAT_JSON = 1, FORMAT_PROTOBUF = 2 };
enum { KIND_NUMBER, KIND_BOOLEAN, KIND_STATE, KIND_CHOICE, KIND_FUNCTION, KINDS };
enum { RAW_UNSIGNED, RAW_SIGNED, RAW_FLOAT, RAW_TYPES };
enum { WIDTH_THREE, WIDTH_SIX, WIDTH_ANY };
enum { GROUP_FIRST, GROUP_INNER, GROUP_LAST, GROUP_KINDS };
enum { RULE_CLOCK = 1, RULE_SEND_SAME = 2, RULE_FORCE = 4, RULE_KEEP = 8 };
enum { MESSAGES, SIGNALS, NAMED, CONDITIONS, KEYS, ARENA, STATES, BUSES, TABLES };

#define BLOCK 16               /* bytes that copy_block() moves at once; the slack behind every target and source */
#define NUMBER_SPACE 40        /* more than the longest text of a number with its brace and NUL */
#define RAW_SPACE 320          /* more than the longest record of a raw frame, in either format */
#define HEAD_SPACE 48          /* more than {"bus":255,"id":4294967295,"data":"0x */
#define DECIMALS_LIMIT 9       /* as in bridge/codec/numbers.py */
#define INT64_EDGE 0x1p63      /* the first double that a signed 64-bit integer cannot hold */
#define EXACT_EDGE (1ll << 53) /* integers up to here are doubles */
#define NOBODY (-1)            /* instead of a function's number */
#define NO_KEY UINT64_MAX      /* of an entry that is free */

#define INLINE static inline __attribute__((always_inline)) /* a call costs more than the digits */

/* The tables of a plan, as compiled.py packs them: no padding, counts in items, places in the arena in bytes. */

typedef struct {
    uint32_t start;
    uint32_t count;
} Span; /* bytes of the arena, or rows of another table */

typedef struct {
    uint64_t mask;
    uint64_t half; /* the sign bit, 0 where there is none */
    uint16_t start;
    uint8_t size;
    uint8_t shift; /* of the first eight bytes, where it is near */
    uint8_t type;
    uint8_t big;
    uint8_t near; /* within the first eight bytes */
} Field;

typedef struct {
    int64_t value;
    Span json;
    Span protobuf;
} Named; /* the ready records of one value, which a signal has sorted */

typedef struct {
    Field selector;
    Span values; /* named ones without records */
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
    Span named;
    Span conditions;
    uint32_t slot;    /* of its published name's state */
    int32_t function; /* KIND_FUNCTION */
    uint8_t kind;
    uint8_t rules;
    uint8_t decimals;
    uint8_t exact;
    uint8_t plain; /* an exact number without rules and conditions */
    uint8_t width; /* WIDTH_*, of an exact number before its point */
} Signal;

typedef struct {
    double period; /* of its raw frames */
    uint32_t force;
    int32_t handler; /* a function */
    Span signals;
} Message;

typedef struct {
    uint64_t key;
    Span message; /* one */
} Key;

/* A scaled number as Python has it: an int where the scaling has no decimals, else a float. */
typedef struct {
    double real;
    int64_t integer; /* before its decimals are taken off, where they are */
    bool integral;
} Number;

/* These two tables are bytearrays, which Python reads and writes between two frames. */

typedef struct {
    Number value;
    double ticked;
    bool received;
} State; /* of a published name */

typedef struct {
    double period;
    bool force;
    bool passthrough;
    bool bypass;
    uint32_t learned; /* ids that no message defines and that have an entry */
} Bus;

static const size_t ROW_SIZES[TABLES] = {24, 120, 24, 32, 16, 1, 40, 16};
_Static_assert(sizeof(Message) == 24 && sizeof(Signal) == 120 && sizeof(Named) == 24, "no padding");
_Static_assert(sizeof(Condition) == 32 && sizeof(Key) == 16 && sizeof(State) == 40 && sizeof(Bus) == 16, "no padding");

/* What is known of a bus, an id and its format. */
typedef struct {
    uint64_t key;
    const Message *message; /* NULL where none defines it */
    int32_t watcher;        /* a function */
    bool learned;           /* counted in Bus */
    uint8_t length;
    uint8_t json_length;
    uint8_t protobuf_length;
    double ticked; /* as length and data, of its last raw frame */
    char protobuf_head[16];
    char json_head[HEAD_SPACE];
    uint8_t data[FD_DATA_LIMIT];
} Entry;

typedef struct {
    PyObject_HEAD Py_buffer tables[TABLES];
    Entry *entries;     /* a hash table, at least half of it free */
    size_t entry_limit; /* its size, a power of two, less one */
    size_t entry_count;
    size_t raw_ids_limit;
    size_t space;        /* that the records of one frame need, but for those of Python functions */
    PyObject *functions; /* while a batch is translated: as long as this is there */
    const Named *opened;
    Span opened_rows;
    int formats;
    Buffer json;
    Buffer protobuf;
    size_t records;
} Program;

static const uint32_t POWERS[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};

/* ---- Text and numbers ---- */

/* Copy in whole blocks; what lies up to a block behind source and target is read and written, too. */
static inline char *copy_block(char *to, const char *from, size_t length) {
    for (size_t done = 0; done < length; done += BLOCK) memcpy(to + done, from + done, BLOCK);
    return to + length;
}

static inline char *write_text(char *at, const char *text) {
    size_t length = strlen(text);
    memcpy(at, text, length);
    return at + length;
}

static inline char *end_json(char *at) {
    memcpy(at, "}", 2); /* and the NUL */
    return at + 2;
}

/* What a number below 1,000 writes: the first group of a number's digits has no leading zeros, the last one behind
 * a point no trailing ones, and of a zero nothing. A table of three digits at once fits a first-level cache, and with
 * it four signals of a frame take three quarters of the time that they took when digits were computed, eight at once.
 */
typedef struct {
    char digits[3];
    uint8_t count;
} Group;

#define GROUP_LIMIT 1024 /* a power of two, so that no number leads outside */
#define FIRST(h, t, u)                                                                                                 \
    {{(h) ? '0' + (h) : (t) ? '0' + (t) : '0' + (u), (h) ? '0' + (t) : '0' + (u), '0' + (u)}, (h) ? 3 : (t) ? 2 : 1}
#define INNER(h, t, u) {{'0' + (h), '0' + (t), '0' + (u)}, 3}
#define LAST(h, t, u) {{'0' + (h), '0' + (t), '0' + (u)}, (u) ? 3 : (t) ? 2 : (h) ? 1 : 0}
#define TEN(of, h, t)                                                                                                  \
    of(h, t, 0), of(h, t, 1), of(h, t, 2), of(h, t, 3), of(h, t, 4), of(h, t, 5), of(h, t, 6), of(h, t, 7),            \
        of(h, t, 8), of(h, t, 9)
#define HUNDRED(of, h)                                                                                                 \
    TEN(of, h, 0), TEN(of, h, 1), TEN(of, h, 2), TEN(of, h, 3), TEN(of, h, 4), TEN(of, h, 5), TEN(of, h, 6),           \
        TEN(of, h, 7), TEN(of, h, 8), TEN(of, h, 9)
#define THOUSAND(of)                                                                                                   \
    {HUNDRED(of, 0), HUNDRED(of, 1), HUNDRED(of, 2), HUNDRED(of, 3), HUNDRED(of, 4),                                   \
     HUNDRED(of, 5), HUNDRED(of, 6), HUNDRED(of, 7), HUNDRED(of, 8), HUNDRED(of, 9)}
static const Group GROUPS[GROUP_KINDS][GROUP_LIMIT] = {THOUSAND(FIRST), THOUSAND(INNER), THOUSAND(LAST)};

static inline char *write_group(char *at, int kind, uint32_t number) {
    const Group *group = &GROUPS[kind][number % GROUP_LIMIT];
    memcpy(at, group, sizeof *group);
    return at + group->count;
}

/* Up to six digits before a point, without a branch that depends on them. */
static inline char *write_first_six(char *at, uint32_t number) {
    uint32_t thousands = number / 1000;
    char *behind = write_group(at, GROUP_FIRST, thousands);
    return write_group(thousands != 0 ? behind : at, thousands != 0 ? GROUP_INNER : GROUP_FIRST, number % 1000);
}

static char *write_any(char *at, uint64_t number) {
    if (number < 1000000) return write_first_six(at, (uint32_t)number);
    at = write_any(at, number / 1000000);
    at = write_group(at, GROUP_INNER, (uint32_t)(number / 1000 % 1000));
    return write_group(at, GROUP_INNER, (uint32_t)(number % 1000));
}

/* The digits before a point. The width is fixed for a signal, so that the jump is foreseen. */
static inline char *write_unsigned(char *at, uint64_t number, int width) {
    if (width == WIDTH_THREE) return write_group(at, GROUP_FIRST, (uint32_t)number);
    return width == WIDTH_SIX ? write_first_six(at, (uint32_t)number) : write_any(at, number);
}

/* Up to six digits behind a point. */
static inline char *write_last_six(char *at, uint32_t number) {
    uint32_t rest = number % 1000;
    at = write_group(at, rest != 0 ? GROUP_INNER : GROUP_LAST, number / 1000);
    return write_group(at, GROUP_LAST, rest);
}

/* The point and the digits of part / 10^decimals behind it; of a zero nothing. */
static inline char *write_fraction(char *at, uint32_t part, unsigned decimals) {
    *at = '.';
    at += part != 0;
    if (decimals <= 3) return write_group(at, GROUP_LAST, part * POWERS[3 - decimals]);
    if (decimals <= 6) return write_last_six(at, part * POWERS[6 - decimals]);
    part *= POWERS[9 - decimals];
    uint32_t rest = part % 1000000;
    at = write_group(at, rest != 0 ? GROUP_INNER : GROUP_LAST, part / 1000000);
    return write_last_six(at, rest);
}

/* number / 10^decimals, the rest in `rest`. Division by a constant is a multiplication, and the jump is foreseen. */
static inline uint64_t split_decimal(uint64_t number, unsigned decimals, uint32_t *rest) {
    uint64_t whole = 0;
#define BY(decimals, power)                                                                                            \
    case decimals:                                                                                                     \
        whole = number / (uint64_t)(power);                                                                            \
        break;
    switch (decimals) {
        BY(1, 1e1) BY(2, 1e2) BY(3, 1e3) BY(4, 1e4) BY(5, 1e5) BY(6, 1e6) BY(7, 1e7) BY(8, 1e8) BY(9, 1e9)
    }
#undef BY
    *rest = (uint32_t)(number - whole * POWERS[decimals]);
    return whole;
}

/* scaled / 10^decimals as the shortest decimal. */
INLINE char *write_decimal(char *at, int64_t scaled, unsigned decimals, int width) {
    uint64_t magnitude = scaled < 0 ? 0 - (uint64_t)scaled : (uint64_t)scaled;
    uint32_t part;
    *at = '-';
    at += scaled < 0;
    if (decimals == 0) return write_unsigned(at, magnitude, width);
    uint64_t whole = split_decimal(magnitude, decimals, &part);
    return write_fraction(write_unsigned(at, whole, width), part, decimals);
}

/* Whether a double is a whole number that a signed 64-bit integer can hold. */
static bool is_whole(double real, int64_t *integer) {
    if (!(real >= -INT64_EDGE && real < INT64_EDGE && real == floor(real))) return false;
    *integer = (int64_t)real;
    return true;
}

/* A finite double as json_format.number_text() says it; NULL with an exception where memory ends. */
static char *write_double(char *at, double value) {
    int64_t integer;
    if (is_whole(value, &integer)) return write_decimal(at, integer, 0, WIDTH_ANY);
    char *text = PyOS_double_to_string(value, 'r', 0, 0, NULL);
    if (text == NULL) return NULL;
    at = write_text(at, text);
    PyMem_Free(text);
    return at;
}

/* scaled / 10^decimals as Python divides integers: correctly rounded. */
INLINE int divide(int64_t scaled, unsigned decimals, double *result) {
    *result = (double)scaled / (double)POWERS[decimals];
    if (decimals == 0 || (scaled < EXACT_EDGE && scaled > -EXACT_EDGE)) return 0;
    char text[NUMBER_SPACE];
    *write_decimal(text, scaled, decimals, WIDTH_ANY) = 0;
    *result = PyOS_string_to_double(text, NULL, NULL);
    return PyErr_Occurred() == NULL ? 0 : -1;
}

/* Whether two numbers are equal as Python compares them, an int with a float exactly. */
static bool numbers_equal(const Number *one, const Number *other) {
    if (one->integral && other->integral) return one->integer == other->integer;
    if (!one->integral && !other->integral) return one->real == other->real;
    int64_t whole;
    return is_whole(one->integral ? other->real : one->real, &whole) &&
           whole == (one->integral ? one->integer : other->integer);
}

/* The row of a value in a part of a table that is sorted; NULL where there is none. */
static const Named *find_value(const Named *rows, Span span, int64_t value) {
    for (rows += span.start; span.count > 0;) {
        uint32_t middle = span.count / 2;
        if (rows[middle].value == value) return &rows[middle];
        if (rows[middle].value < value) {
            rows += middle + 1;
            span.count -= middle + 1;
        } else {
            span.count = middle;
        }
    }
    return NULL;
}

/* ---- Fields of a frame ---- */

static uint64_t far_bits(const Field *field, const uint8_t *data) {
    uint8_t padded[FD_DATA_LIMIT + 9] = {0};
    memcpy(padded, data, FD_DATA_LIMIT);
    const uint8_t *first = padded + field->start / 8;
    unsigned skip = field->start % 8u;
    uint64_t word, ninth = first[8]; /* of which nothing is left where nothing is skipped */
    memcpy(&word, first, sizeof word);
    if (field->big) return (__builtin_bswap64(word) << skip | ninth >> (8 - skip)) >> (64 - field->size);
    return (word >> skip | ninth << 1 << (63 - skip)) & field->mask;
}

static inline uint64_t field_bits(const Field *field, const Frame *frame) {
    uint64_t word;
    if (!field->near) return far_bits(field, frame->data);
    memcpy(&word, frame->data, sizeof word);
    return (field->big ? __builtin_bswap64(word) : word) >> field->shift & field->mask;
}

static inline uint64_t extend_sign(const Field *field, uint64_t bits) { return (bits ^ field->half) - field->half; }

static double float_of(const Field *field, uint64_t bits) {
    double real;
    float single;
    memcpy(&real, &bits, sizeof real);
    memcpy(&single, &bits, sizeof single); /* the low half */
    return field->size == 64 ? real : (double)single;
}

/* An integer that stands for a raw number in tables; false for one that no table can hold. */
static bool raw_key(const Field *field, const Frame *frame, int64_t *key) {
    uint64_t bits = field_bits(field, frame);
    *key = (int64_t)extend_sign(field, bits);
    return field->type != RAW_FLOAT || is_whole(float_of(field, bits), key);
}

static bool is_present(const Program *self, const Signal *signal, const Frame *frame) {
    const Condition *condition = (const Condition *)self->tables[CONDITIONS].buf + signal->conditions.start;
    for (const Condition *end = condition + signal->conditions.count; condition < end; condition++) {
        int64_t key;
        if (!raw_key(&condition->selector, frame, &key)) return false;
        if (find_value(self->tables[NAMED].buf, condition->values, key) == NULL) return false;
    }
    return true;
}

static inline int64_t exact_value(const Signal *signal, const Frame *frame) {
    uint64_t bits = field_bits(&signal->field, frame);
    return (int64_t)(extend_sign(&signal->field, bits) * signal->multiplier + signal->addend);
}

INLINE int read_signal(const Signal *signal, const Frame *frame, Number *number) {
    if (signal->exact) {
        number->integer = exact_value(signal, frame);
        number->integral = signal->decimals == 0;
        return divide(number->integer, signal->decimals, &number->real);
    }
    const Field *field = &signal->field;
    uint64_t bits = field_bits(field, frame);
    int64_t extended = (int64_t)extend_sign(field, bits);
    double raw = field->type == RAW_FLOAT    ? float_of(field, bits)
                 : field->type == RAW_SIGNED ? (double)extended
                                             : (double)bits;
    *number = (Number){raw * signal->factor + signal->offset, 0, false};
    return 0;
}

/* ---- Records of signals ---- */

/* Room for the records of one frame; when a Python function has appended its own, for those that are still to come. */
static inline int reserve(Program *self) {
    return buffer_reserve(&self->json, self->space) < 0 ? -1 : buffer_reserve(&self->protobuf, self->space);
}

static inline char *write_span(const Program *self, char *at, Span span) {
    return copy_block(at, (const char *)self->tables[ARENA].buf + span.start, span.count);
}

INLINE int write_number(Program *self, const Signal *signal, const Number *number) {
    if (!signal->exact && !isfinite(number->real)) return 0; /* OpenXC has no word for it */
    if (self->formats & FORMAT_JSON) {
        char *at = write_span(self, self->json.at, signal->json_head);
        at = signal->exact ? write_decimal(at, number->integer, signal->decimals, signal->width)
                           : write_double(at, number->real);
        if (at == NULL) return -1;
        self->json.at = end_json(at);
    }
    if (self->formats & FORMAT_PROTOBUF) {
        bool zero = number->real == 0;
        char *at = write_span(self, self->protobuf.at, zero ? signal->protobuf_zero : signal->protobuf_head);
        memcpy(at, &number->real, sizeof number->real);
        self->protobuf.at = at + (zero ? 0 : sizeof number->real);
    }
    self->records++;
    return 0;
}

/* Write the ready record for a value, if there is one. */
static bool write_named(Program *self, const Signal *signal, int64_t value) {
    const Named *named = find_value(self->tables[NAMED].buf, signal->named, value);
    if (named == NULL) return false;
    if (self->formats & FORMAT_JSON) self->json.at = write_span(self, self->json.at, named->json);
    if (self->formats & FORMAT_PROTOBUF) self->protobuf.at = write_span(self, self->protobuf.at, named->protobuf);
    self->records++;
    return true;
}

/* What a signal that is due says: the ready record of its value, or a number where its kind has one. */
INLINE int write_signal(Program *self, const Signal *signal, const Frame *frame, const Number *number) {
    int64_t key = number->integer;
    bool known = signal->named.count > 0;
    if (signal->kind == KIND_BOOLEAN) key = number->real != 0;
    else if (signal->kind == KIND_CHOICE) known = known && raw_key(&signal->field, frame, &key);
    else if (!number->integral) known = known && is_whole(trunc(number->real), &key);
    if (known && write_named(self, signal, key)) return 0;
    if (signal->kind == KIND_BOOLEAN || signal->kind == KIND_STATE) return 0;
    return write_number(self, signal, number);
}

static bool ticks(double *ticked, double now, double period) {
    double elapsed = now - *ticked;
    if (elapsed >= 0 && elapsed < period) return false;
    *ticked = now;
    return true;
}

/* The send rules: (the clock ticks, or a change that is forced) and not (seen, unchanged, same not sent). */
static bool is_due(const Signal *signal, State *state, const Number *now, double timestamp) {
    bool changed = !numbers_equal(now, &state->value);
    bool due = !(signal->rules & RULE_CLOCK) || ticks(&state->ticked, timestamp, signal->period) ||
               (signal->rules & RULE_FORCE && changed);
    return due && (signal->rules & RULE_SEND_SAME || changed || !state->received);
}

/* Call a Python function, with arguments that are given away. */
static int call_function(Program *self, int32_t function, PyObject *arguments) {
    PyObject *callable = arguments != NULL ? PyList_GetItem(self->functions, function) : NULL;
    PyObject *result = callable != NULL ? PyObject_Call(callable, arguments, NULL) : NULL;
    Py_XDECREF(arguments);
    Py_XDECREF(result);
    return result != NULL ? reserve(self) : -1;
}

static int call_on_frame(Program *self, int32_t function, const Frame *frame) {
    return call_function(self, function, Py_BuildValue("(y#i)", frame->data, (Py_ssize_t)FD_DATA_LIMIT, frame->length));
}

static int call_on_signal(Program *self, const Signal *signal, const Number *number, bool due) {
    PyObject *truth = due ? Py_True : Py_False;
    PyObject *arguments = number->integral ? Py_BuildValue("(LO)", (long long)number->integer, truth)
                                           : Py_BuildValue("(dO)", number->real, truth);
    return call_function(self, signal->function, arguments);
}

INLINE int run_signal(Program *self, const Signal *signal, const Frame *frame) {
    Number number;
    if (!is_present(self, signal, frame)) return 0;
    if (read_signal(signal, frame, &number) < 0) return -1;
    if (signal->plain) return self->formats != 0 ? write_number(self, signal, &number) : 0;
    State *state = (State *)self->tables[STATES].buf + signal->slot;
    bool due = is_due(signal, state, &number, frame->timestamp);
    if (signal->kind == KIND_FUNCTION) {
        if (call_on_signal(self, signal, &number, due) < 0) return -1;
    } else if (due && self->formats != 0 && write_signal(self, signal, frame, &number) < 0) {
        return -1;
    }
    if (signal->rules & RULE_KEEP) {
        state->value = number;
        state->received = true;
    }
    return 0;
}

/* Plain signals that follow one another, to JSON alone: the place to write at stays in a register. */
static inline const Signal *write_plain(Program *self, const Signal *signal, const Signal *end, const Frame *frame) {
    char *at = self->json.at;
    const Signal *first = signal;
    for (; signal < end && signal->plain; signal++) {
        at = write_span(self, at, signal->json_head);
        at = end_json(write_decimal(at, exact_value(signal, frame), signal->decimals, signal->width));
    }
    self->json.at = at;
    self->records += (size_t)(signal - first);
    return signal;
}

static int run_message(Program *self, const Message *message, const Frame *frame) {
    if (reserve(self) < 0) return -1;
    if (message->handler != NOBODY && call_on_frame(self, message->handler, frame) < 0) return -1;
    const Signal *signal = (const Signal *)self->tables[SIGNALS].buf + message->signals.start;
    for (const Signal *end = signal + message->signals.count; signal < end;)
        if (signal->plain && self->formats == FORMAT_JSON) signal = write_plain(self, signal, end, frame);
        else if (run_signal(self, signal++, frame) < 0) return -1;
    return 0;
}

/* ---- What is known of an id ---- */

/* The entry of a key, or the free one where it belongs. */
static inline Entry *find_entry(const Program *self, uint64_t key) {
    size_t slot = (size_t)(key * 0x9E3779B97F4A7C15 >> 20);
    for (;; slot++) {
        Entry *entry = &self->entries[slot & self->entry_limit];
        if (entry->key == key || entry->key == NO_KEY) return entry;
    }
}

static int grow_entries(Program *self) {
    size_t before = self->entries == NULL ? 0 : self->entry_limit + 1, size = before == 0 ? 64 : 2 * before;
    Entry *old = self->entries, *entries = PyMem_Calloc(size, sizeof *entries);
    if (entries == NULL) return (void)PyErr_NoMemory(), -1;
    for (size_t i = 0; i < size; i++) entries[i] = (Entry){.key = NO_KEY, .watcher = NOBODY};
    self->entries = entries;
    self->entry_limit = size - 1;
    for (size_t i = 0; i < before; i++)
        if (old[i].key != NO_KEY) *find_entry(self, old[i].key) = old[i];
    PyMem_Free(old);
    return 0;
}

static char *write_varint(char *at, uint32_t number) {
    for (; number >= 0x80; number >>= 7) *at++ = (char)(number | 0x80);
    *at++ = (char)number;
    return at;
}

/* An entry of which nothing is known but how its raw records begin. */
static Entry new_entry(uint64_t key) {
    Entry entry = {.key = key, .watcher = NOBODY, .ticked = -INFINITY};
    uint32_t bus = (uint8_t)(key >> 32), id = (uint32_t)key & EXTENDED_ID_MAX;
    char *at = write_text(entry.json_head, "{\"bus\":");
    at = write_text(write_unsigned(at, bus, WIDTH_ANY), ",\"id\":");
    at = write_text(write_unsigned(at, id, WIDTH_ANY), ",\"data\":\"0x");
    entry.json_length = (uint8_t)(at - entry.json_head);
    at = entry.protobuf_head;
    if (bus != 0) at = write_varint(write_text(at, "\x08"), bus);
    if (id != 0) at = write_varint(write_text(at, "\x10"), id);
    entry.protobuf_length = (uint8_t)(at - entry.protobuf_head);
    return entry;
}

/* The new entry of a key that has none; NULL with an exception where memory ends. All other entries may move. */
static Entry *add_entry(Program *self, uint64_t key) {
    if (2 * self->entry_count > self->entry_limit && grow_entries(self) < 0) return NULL;
    Entry *entry = find_entry(self, key);
    *entry = new_entry(key);
    self->entry_count++;
    return entry;
}

/* ---- Raw frames ---- */

static void write_raw_json(Buffer *buffer, const Entry *entry, const Frame *frame) {
    char *at = copy_block(buffer->at, entry->json_head, entry->json_length);
    at = write_hex(at, frame->data, frame->length, 'a');
    *at++ = '"';
    if (frame->flags & FLAG_EXTENDED) at = write_text(at, ",\"frame_format\":\"extended\"");
    if (frame->flags & FLAG_FD) at = write_text(at, ",\"fd\":true");
    buffer->at = end_json(at);
}

/* Every length in it is below 128, so one byte. */
static void write_raw_protobuf(Buffer *buffer, const Entry *entry, const Frame *frame) {
    char *record = buffer->at;
    memcpy(record, "?\x08\x01\x12?", 5);
    char *at = copy_block(record + 5, entry->protobuf_head, entry->protobuf_length);
    if (frame->length != 0) {
        *at++ = 0x1a;
        *at++ = (char)frame->length;
        memcpy(at, frame->data, frame->length);
        at += frame->length;
    }
    if (frame->flags & FLAG_EXTENDED) at = write_text(at, "\x20\x02");
    record[0] = (char)(at - record - 1);
    record[4] = (char)(at - record - 5);
    buffer->at = at;
}

static int write_raw(Program *self, const Entry *entry, const Frame *frame) {
    if (reserve(self) < 0) return -1;
    if (self->formats & FORMAT_JSON) write_raw_json(&self->json, entry, frame);
    if (self->formats & FORMAT_PROTOBUF) write_raw_protobuf(&self->protobuf, entry, frame);
    self->records += self->formats != 0;
    return 0;
}

/* The clock of an id's raw frames, and what a change is worth. */
static bool is_raw_due(Entry *entry, double period, bool force, const Frame *frame) {
    bool changed = entry->length != frame->length || memcmp(entry->data, frame->data, frame->length) != 0;
    entry->length = frame->length;
    memcpy(entry->data, frame->data, frame->length);
    return ticks(&entry->ticked, frame->timestamp, period) || (force && changed);
}

/* The raw record of a frame, where acceptance filter and rules let it out. */
static int run_raw(Program *self, uint64_t key, const Frame *frame) {
    Entry *entry = find_entry(self, key);
    Bus *bus = (Bus *)self->tables[BUSES].buf + frame->bus;
    double period = bus->period;
    bool force = bus->force;
    if (entry->message != NULL) {
        period = entry->message->period;
        force = entry->message->force;
    } else if (!bus->bypass && find_value(self->opened, self->opened_rows, (int64_t)key) == NULL) {
        return 0;
    } else if (!entry->learned && bus->learned >= self->raw_ids_limit) {
        Entry unlearned = new_entry(key);
        return write_raw(self, &unlearned, frame);
    } else if (!entry->learned) {
        if (entry->key == NO_KEY && (entry = add_entry(self, key)) == NULL) return -1;
        entry->learned = true;
        bus->learned++;
    }
    if (period > 0 && !is_raw_due(entry, period, force, frame)) return 0;
    return write_raw(self, entry, frame);
}

/* ---- A batch ---- */

static int run_frame(Program *self, const Frame *frame) {
    if (frame->flags & (FLAG_REMOTE | FLAG_ERROR)) return 0; /* neither becomes a record */
    if (frame->length > FD_DATA_LIMIT) {
        PyErr_Format(PyExc_ValueError, "a frame of %d data bytes", frame->length);
        return -1;
    }
    uint64_t key = (uint64_t)frame->bus << 32 | (uint64_t)(frame->flags & FLAG_EXTENDED) << 31 | frame->id;
    const Entry *entry = find_entry(self, key); /* until a Python function has had it moved */
    const Message *message = entry->message;
    if (entry->watcher != NOBODY && call_on_frame(self, entry->watcher, frame) < 0) return -1;
    if (message != NULL && run_message(self, message, frame) < 0) return -1;
    return ((const Bus *)self->tables[BUSES].buf)[frame->bus].passthrough ? run_raw(self, key, frame) : 0;
}

/* translate(records, functions, formats, opened): 1 is JSON, 2 protobuf, 3 both; what diagnostics listen to, as
 * sorted rows of a table of named values. */
static PyObject *program_translate(Program *self, PyObject *arguments) {
    const char *record, *opened;
    Py_ssize_t size, opened_size;
    PyObject *functions, *result = NULL;
    int formats;
    if (!PyArg_ParseTuple(arguments, "y#O!iy#", &record, &size, &PyList_Type, &functions, &formats, &opened,
                          &opened_size) ||
        !are_records(size)) {
        return NULL;
    }
    if (self->functions != NULL) return PyErr_Format(PyExc_RuntimeError, "a batch is being translated already");
    self->functions = functions;
    self->formats = formats;
    self->opened = (const Named *)opened;
    self->opened_rows = (Span){0, (uint32_t)((size_t)opened_size / sizeof(Named))};
    self->json.at = self->json.start;
    self->protobuf.at = self->protobuf.start;
    self->records = 0;
    const char *end = record + size;
    while (record < end && run_frame(self, (const Frame *)record) == 0) record += FRAME_SIZE;
    /* "N" takes the references over, and passes a NULL on as the error that it is. */
    if (record == end)
        result =
            Py_BuildValue("(NNn)", buffer_bytes(&self->json), buffer_bytes(&self->protobuf), (Py_ssize_t)self->records);
    self->functions = NULL;
    return result;
}

/* append(json, protobuf): a record of a Python function, in the formats that are wanted while a batch is translated. */
static PyObject *program_append(Program *self, PyObject *arguments) {
    const char *json, *protobuf;
    Py_ssize_t json_size, protobuf_size;
    if (!PyArg_ParseTuple(arguments, "y#y#", &json, &json_size, &protobuf, &protobuf_size)) return NULL;
    if (buffer_append(&self->json, json, (size_t)json_size) < 0) return NULL;
    if (buffer_append(&self->protobuf, protobuf, (size_t)protobuf_size) < 0) return NULL;
    self->records++;
    Py_RETURN_NONE;
}

/* watch(key, function): functions[function] gets a key's frames. */
static PyObject *program_watch(Program *self, PyObject *arguments) {
    unsigned long long key;
    int function;
    if (!PyArg_ParseTuple(arguments, "Ki", &key, &function)) return NULL;
    Entry *entry = find_entry(self, key);
    if (entry->key == NO_KEY && (entry = add_entry(self, key)) == NULL) return NULL;
    entry->watcher = function;
    Py_RETURN_NONE;
}

/* ---- Building ---- */

/* The spans of each table's rows, and the table where each must lie. */
static const struct {
    int table;
    size_t offset;
    int target;
} SPANS[] = {
    {NAMED, offsetof(Named, json), ARENA},
    {NAMED, offsetof(Named, protobuf), ARENA},
    {CONDITIONS, offsetof(Condition, values), NAMED},
    {SIGNALS, offsetof(Signal, json_head), ARENA},
    {SIGNALS, offsetof(Signal, protobuf_head), ARENA},
    {SIGNALS, offsetof(Signal, protobuf_zero), ARENA},
    {SIGNALS, offsetof(Signal, named), NAMED},
    {SIGNALS, offsetof(Signal, conditions), CONDITIONS},
    {MESSAGES, offsetof(Message, signals), SIGNALS},
    {KEYS, offsetof(Key, message), MESSAGES},
};

static bool is_field(const Field *field) {
    bool inside = field->near ? field->shift < 64 : field->size > 0 && field->start + field->size <= 8 * FD_DATA_LIMIT;
    return inside && field->size <= 64 && field->type < RAW_TYPES;
}

/* Whether no row says what cannot be; the space that a message's records need is reckoned. */
static bool check_tables(Program *self, const size_t *counts) {
    uint32_t longest[TABLES] = {0};
    for (size_t i = 0; i < sizeof SPANS / sizeof *SPANS; i++) {
        size_t size = counts[SPANS[i].target];
        const char *row = (const char *)self->tables[SPANS[i].table].buf + SPANS[i].offset;
        for (size_t j = 0; j < counts[SPANS[i].table]; j++, row += ROW_SIZES[SPANS[i].table]) {
            Span span;
            memcpy(&span, row, sizeof span);
            if (span.start > size || span.count > size - span.start) return false;
            if (span.count > longest[SPANS[i].target]) longest[SPANS[i].target] = span.count;
        }
    }
    const Condition *conditions = self->tables[CONDITIONS].buf;
    for (size_t i = 0; i < counts[CONDITIONS]; i++)
        if (!is_field(&conditions[i].selector)) return false;
    const Signal *signals = self->tables[SIGNALS].buf;
    for (const Signal *signal = signals; signal < signals + counts[SIGNALS]; signal++)
        if (!is_field(&signal->field) || signal->slot >= counts[STATES] || signal->kind >= KINDS ||
            signal->decimals > DECIMALS_LIMIT)
            return false;
    self->space = longest[SIGNALS] * ((size_t)longest[ARENA] + NUMBER_SPACE + BLOCK) + RAW_SPACE;
    return counts[BUSES] > UINT8_MAX;
}

/* Program(messages, signals, named, conditions, keys, arena, states, buses, raw_ids_limit) */
static int program_fill(Program *self, PyObject *arguments) {
    Py_buffer *tables = self->tables;
    size_t counts[TABLES];
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*y*y*w*w*n", &tables[MESSAGES], &tables[SIGNALS], &tables[NAMED],
                          &tables[CONDITIONS], &tables[KEYS], &tables[ARENA], &tables[STATES], &tables[BUSES],
                          &self->raw_ids_limit)) {
        return -1;
    }
    for (int i = 0; i < TABLES; i++) counts[i] = (size_t)tables[i].len / ROW_SIZES[i];
    counts[ARENA] -= counts[ARENA] < BLOCK ? counts[ARENA] : BLOCK;
    if (!check_tables(self, counts)) {
        PyErr_SetString(PyExc_ValueError, "the tables do not fit together");
        return -1;
    }
    if (grow_entries(self) < 0) return -1;
    const Key *keys = tables[KEYS].buf;
    for (size_t i = 0; i < counts[KEYS]; i++) {
        Entry *entry = add_entry(self, keys[i].key);
        if (entry == NULL) return -1;
        entry->message = (const Message *)tables[MESSAGES].buf + keys[i].message.start;
    }
    return 0;
}

static PyObject *program_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords)) {
    Program *self = (Program *)PyType_GenericAlloc(type, 0);
    if (self != NULL && program_fill(self, arguments) < 0) Py_CLEAR(self);
    return (PyObject *)self;
}

static void program_dealloc(Program *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (int i = 0; i < TABLES; i++) PyBuffer_Release(&self->tables[i]);
    PyMem_Free(self->entries);
    PyMem_Free(self->json.start);
    PyMem_Free(self->protobuf.start);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef program_methods[] = {
    {"translate", (PyCFunction)program_translate, METH_VARARGS, NULL},
    {"append", (PyCFunction)program_append, METH_VARARGS, NULL},
    {"watch", (PyCFunction)program_watch, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot program_slots[] = {
    {Py_tp_new, (void *)program_new},
    {Py_tp_dealloc, (void *)program_dealloc},
    {Py_tp_methods, program_methods},
    {Py_tp_doc, "A plan made ready by bridge.codec.compiled."},
    {0, NULL},
};

static PyType_Spec program_spec = {
    .name = "bridge.codec._codec.Program",
    .basicsize = sizeof(Program),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = program_slots,
};

/* ---- The module ---- */

static int module_exec(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &program_spec, NULL);
    if (type == NULL) return -1;
    int added = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return added;
}

static PyMethodDef module_functions[] = {
    {"parse_slcan", parse_slcan, METH_VARARGS, NULL},
    {"slcan_lines", slcan_lines, METH_VARARGS, NULL},
    {"parse_candump", parse_candump, METH_VARARGS, NULL},
    {"candump_lines", candump_lines, METH_VARARGS, NULL},
    {"can_writes", can_writes, METH_VARARGS, NULL},
#ifdef __linux__
    {"receive_frames", receive_frames, METH_VARARGS, NULL},
    {"send_frames", send_frames, METH_VARARGS, NULL},
#endif
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)module_exec},
#if defined(Py_mod_gil) && defined(Py_GIL_DISABLED)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,         .m_name = "bridge.codec._codec", .m_doc = "The hot path in C. See bridge.codec.",
    .m_methods = module_functions, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__codec(void) { return PyModuleDef_Init(&module_definition); }
