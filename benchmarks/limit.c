/* How fast honest C prints the benchmark's records without Python and without a plan: the limit that
 * the codec is compared with.
 *
 *     limit WORK FILE          for each count of passes that stdin brings, make them, each over all
 *                              records, and answer with the nanoseconds that they took
 *     limit WORK FILE --text   print the text of one pass
 *
 * WORK is one of
 *     tables   four signals a frame; every piece of a number is looked up
 *     digits   the same text; digits are computed, eight at once, and zeros stripped by counting bits
 *     raw      raw frames
 *
 * FILE holds the 80-byte records of bridge/frames.py. What a general codec finds in its plan is
 * fixed here: four signals, their names, factors and places. Numbers are exact scaled integers, and
 * the text is bridge.codec's, byte for byte; the harness checks that. Nothing but loops and skipped
 * frames branches. What a pass touches of the tables fits a first-level cache, because a codec for a
 * real car has many more signals to keep there: hence no table by 16-bit values.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "written for little-endian machines, as the C codec is"
#endif

typedef struct {
    double timestamp;
    uint32_t id;
    uint8_t bus;
    uint8_t flags;
    uint8_t length;
    uint8_t zero;
    uint8_t data[64];
} Frame;

_Static_assert(sizeof(Frame) == 80, "a frame record has no padding");

enum {
    STANDARD_IDS = 2048,
    FIRST_ID = 100,
    MESSAGES = 20,
    SIGNALS = 4,
    HEAD_ROOM = 32,
    FRAME_ROOM = 256 /* the records of one frame, and what the last wide store writes behind them */
};

/* In the order of their names, which is that of the records. */
enum { ANGLE, LEVEL, SPEED, TORQUE };
static const char *const NAMES[SIGNALS] = {"angle", "level", "speed", "torque"};

/* Text that is copied whole, whatever its length, which is the last byte. */
typedef struct {
    char bytes[4];
} Text4;
typedef struct {
    char bytes[8];
} Text8;
typedef struct {
    char bytes[16];
} Text16;

static struct {
    uint8_t message[STANDARD_IDS]; /* which of the messages, from 1 on; 0: none */
    char heads[MESSAGES][SIGNALS][HEAD_ROOM];
    size_t head_lengths[SIGNALS];
    Text4 thousands[32];   /* of a number below 32,000; nothing for 0 */
    Text4 units[2][1000];  /* a number below 1,000: by itself, and behind thousands */
    Text8 hundredths[100]; /* a fraction and the end of the record: ".25}\0" */
    Text8 tenths[10];
    Text8 quarters[4];
    Text16 levels[256]; /* all that the 8-bit signal can say, and the end of the record */
    Text16 buses[256];  /* the start of a raw record */
    Text16 ids[STANDARD_IDS];
} tables;

static char *put4(char *at, const Text4 *text) {
    memcpy(at, text->bytes, sizeof *text);
    return at + text->bytes[3];
}

static char *put8(char *at, const Text8 *text) {
    memcpy(at, text->bytes, sizeof *text);
    return at + text->bytes[7];
}

static char *put16(char *at, const Text16 *text) {
    memcpy(at, text->bytes, sizeof *text);
    return at + text->bytes[15];
}

static char *put_head(char *at, unsigned message, int signal) {
    memcpy(at, tables.heads[message - 1][signal], HEAD_ROOM);
    return at + tables.head_lengths[signal];
}

/* A number below 32,000. */
static char *put_whole(char *at, uint32_t number) {
    uint32_t thousands = number / 1000;
    at = put4(at, &tables.thousands[thousands]);
    return put4(at, &tables.units[thousands != 0][number % 1000]);
}

/* The eight digits of a number below 10^8, a byte each and not yet text, the first in the lowest byte. */
static uint64_t eight_digits(uint32_t number) {
    uint64_t fours = number / 10000 | (uint64_t)(number % 10000) << 32;
    uint64_t hundreds = fours * 10486 >> 20 & 0x0000007F0000007Fu;
    uint64_t twos = hundreds | (fours - hundreds * 100) << 16;
    uint64_t tens = twos * 103 >> 10 & 0x000F000F000F000Fu;
    return tens | (twos - tens * 10) << 8;
}

/* scaled / unit as a decimal without trailing zeros, and the end of the record; unit is 10 to 10^6. */
static inline char *put_decimal(char *at, uint32_t scaled, uint32_t unit) {
    const uint64_t zeros = 0x3030303030303030u;
    uint32_t part = scaled % unit;
    uint64_t whole = eight_digits(scaled / unit);
    unsigned leading = (unsigned)__builtin_ctzll(whole | (uint64_t)1 << 56) / 8;
    whole = (whole + zeros) >> 8 * leading;
    memcpy(at, &whole, sizeof whole);
    at += 8 - leading;
    uint64_t fraction = eight_digits(part * (100000000 / unit));
    unsigned length = 8 - (unsigned)__builtin_clzll(fraction | 1) / 8;
    fraction += zeros;
    *at = '.';
    memcpy(at + 1, &fraction, sizeof fraction);
    at += part ? length + 1 : 0;
    memcpy(at, "}", 2);
    return at + 2;
}

/* What the four signals of a frame hold. */
typedef struct {
    uint32_t speed;  /* x 0.25 */
    uint32_t angle;  /* x 0.01 */
    uint32_t torque; /* x 0.1, without its sign */
    uint32_t negative;
    uint32_t level; /* x 0.392157 */
} Signals;

static inline Signals read_signals(const Frame *frame) {
    uint64_t bits;
    memcpy(&bits, frame->data, sizeof bits);
    int32_t torque = (int16_t)(bits >> 32);
    return (Signals){
        .speed = bits & 0xFFFF,
        .angle = bits >> 16 & 0xFFFF,
        .torque = (uint32_t)(torque < 0 ? -torque : torque),
        .negative = torque < 0,
        .level = bits >> 48 & 0xFF,
    };
}

/* Which of the messages a frame is, from 1 on; 0: none. */
static inline unsigned message_of(const Frame *frame) {
    return frame->id < STANDARD_IDS && !frame->flags ? tables.message[frame->id] : 0;
}

static char *print_by_tables(char *at, const Frame *frame, const Frame *end) {
    for (; frame < end; frame++) {
        unsigned message = message_of(frame);
        if (message == 0) continue;
        Signals now = read_signals(frame);
        at = put_head(at, message, ANGLE);
        at = put4(at, &tables.units[0][now.angle / 100]);
        at = put8(at, &tables.hundredths[now.angle % 100]);
        at = put_head(at, message, LEVEL);
        at = put16(at, &tables.levels[now.level]);
        at = put_head(at, message, SPEED);
        at = put_whole(at, now.speed / 4);
        at = put8(at, &tables.quarters[now.speed % 4]);
        at = put_head(at, message, TORQUE);
        *at = '-';
        at = put_whole(at + now.negative, now.torque / 10);
        at = put8(at, &tables.tenths[now.torque % 10]);
    }
    return at;
}

static char *print_by_digits(char *at, const Frame *frame, const Frame *end) {
    for (; frame < end; frame++) {
        unsigned message = message_of(frame);
        if (message == 0) continue;
        Signals now = read_signals(frame);
        at = put_decimal(put_head(at, message, ANGLE), now.angle, 100);
        at = put_decimal(put_head(at, message, LEVEL), now.level * 392157, 1000000);
        at = put_decimal(put_head(at, message, SPEED), now.speed * 25, 100);
        at = put_head(at, message, TORQUE);
        *at = '-';
        at = put_decimal(at + now.negative, now.torque, 10);
    }
    return at;
}

/* Four bytes as eight hexadecimal digits. */
static uint64_t hexadecimal(const uint8_t *bytes) {
    uint32_t four;
    memcpy(&four, bytes, sizeof four);
    uint64_t spread = four;
    spread = (spread | spread << 16) & 0x0000FFFF0000FFFFu;
    spread = (spread | spread << 8) & 0x00FF00FF00FF00FFu;
    uint64_t nibbles = (spread >> 4 & 0x000F000F000F000Fu) | (spread & 0x000F000F000F000Fu) << 8;
    uint64_t letters = (nibbles + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
    return nibbles + 0x3030303030303030u + letters * ('a' - '0' - 10);
}

static char *print_raw(char *at, const Frame *frame, const Frame *end) {
    for (; frame < end; frame++) {
        if (frame->id >= STANDARD_IDS || frame->flags || frame->length > 8) continue;
        at = put16(at, &tables.buses[frame->bus]);
        at = put16(at, &tables.ids[frame->id]);
        uint64_t digits[2] = {hexadecimal(frame->data), hexadecimal(frame->data + 4)};
        memcpy(at, digits, sizeof digits);
        at += 2 * frame->length;
        memcpy(at, "\"}\0", 4);
        at += 3;
    }
    return at;
}

/* An entry of any of the three sizes. */
static void fill(char *entry, size_t size, const char *text, int length) {
    memcpy(entry, text, (size_t)length);
    entry[size - 1] = (char)length;
}

/* A decimal or, with `whole` false, its fraction alone; without trailing zeros, and the end of the record. */
static void fill_decimal(char *entry, size_t size, unsigned scaled, unsigned unit, int decimals, int whole) {
    char text[32];
    int length = whole ? snprintf(text, sizeof text, "%u", scaled / unit) : 0;
    length += snprintf(text + length, sizeof text - (size_t)length, ".%0*u", decimals, scaled % unit);
    while (text[length - 1] == '0') length--;
    length -= text[length - 1] == '.';
    memcpy(text + length, "}", 2);
    fill(entry, size, text, length + 2);
}

static void fill_heads(void) {
    for (unsigned message = 0; message < MESSAGES; message++) {
        tables.message[FIRST_ID + message] = (uint8_t)(message + 1);
        for (int signal = 0; signal < SIGNALS; signal++) {
            int length = snprintf(tables.heads[message][signal], HEAD_ROOM,
                                  "{\"name\":\"%s_%u\",\"value\":", NAMES[signal], FIRST_ID + message);
            tables.head_lengths[signal] = (size_t)length;
        }
    }
}

static void fill_tables(void) {
    char text[32];
    fill_heads();
    for (unsigned number = 1; number < 32; number++)
        fill(tables.thousands[number].bytes, 4, text, snprintf(text, sizeof text, "%u", number));
    for (unsigned number = 0; number < 1000; number++) {
        fill(tables.units[0][number].bytes, 4, text, snprintf(text, sizeof text, "%u", number));
        fill(tables.units[1][number].bytes, 4, text, snprintf(text, sizeof text, "%03u", number));
    }
    for (unsigned part = 0; part < 100; part++) fill_decimal(tables.hundredths[part].bytes, 8, part, 100, 2, 0);
    for (unsigned part = 0; part < 10; part++) fill_decimal(tables.tenths[part].bytes, 8, part, 10, 1, 0);
    for (unsigned part = 0; part < 4; part++) fill_decimal(tables.quarters[part].bytes, 8, part * 25, 100, 2, 0);
    for (unsigned number = 0; number < 256; number++) {
        fill_decimal(tables.levels[number].bytes, 16, number * 392157, 1000000, 6, 1);
        fill(tables.buses[number].bytes, 16, text, snprintf(text, sizeof text, "{\"bus\":%u,\"id\":", number));
    }
    for (unsigned id = 0; id < STANDARD_IDS; id++)
        fill(tables.ids[id].bytes, 16, text, snprintf(text, sizeof text, "%u,\"data\":\"0x", id));
}

typedef char *(*Work)(char *at, const Frame *frame, const Frame *end);

static Work work_of(const char *name) {
    if (strcmp(name, "tables") == 0) return print_by_tables;
    if (strcmp(name, "digits") == 0) return print_by_digits;
    return strcmp(name, "raw") == 0 ? print_raw : NULL;
}

/* All records of a file; NULL where it cannot be read. */
static Frame *read_frames(const char *path, size_t *count) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) return NULL;
    long size = ftell(file);
    rewind(file);
    if (size <= 0) return NULL;
    *count = (size_t)size / sizeof(Frame);
    Frame *frames = calloc(*count, sizeof(Frame));
    if (frames != NULL && fread(frames, sizeof(Frame), *count, file) != *count) return NULL;
    fclose(file);
    return frames;
}

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void answer_counts(Work work, char *text, const Frame *frames, size_t count) {
    unsigned long passes;
    while (scanf("%lu", &passes) == 1) {
        uint64_t began = nanoseconds();
        for (unsigned long pass = 0; pass < passes; pass++) {
            work(text, frames, frames + count);
            __asm__ volatile("" ::: "memory"); /* nobody may find out that each pass writes the same */
        }
        printf("%llu\n", (unsigned long long)(nanoseconds() - began));
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    Work work = argc >= 3 ? work_of(argv[1]) : NULL;
    if (work == NULL) {
        fprintf(stderr, "usage: limit tables|digits|raw FILE [--text]\n");
        return 2;
    }
    size_t count = 0;
    Frame *frames = read_frames(argv[2], &count);
    char *text = calloc(count + 1, FRAME_ROOM);
    if (frames == NULL || text == NULL) {
        perror(argv[2]);
        return 1;
    }
    fill_tables();
    if (argc > 3) {
        size_t length = (size_t)(work(text, frames, frames + count) - text);
        return fwrite(text, 1, length, stdout) == length ? 0 : 1;
    }
    answer_counts(work, text, frames, count);
    return 0;
}
