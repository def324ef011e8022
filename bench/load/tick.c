#include "tick.h"

#include <string.h>

enum {
    TOPIC_AT = 10, TOPIC_DIGITS = 7,
    SEQUENCE_AT = 26, SEQUENCE_DIGITS = 12,
    DUE_AT = 46, DUE_DIGITS = 19,
    SUM_AT = 74, SUM_DIGITS = 8,
    FILL_AT = 92, FILL_BYTES = 106,
};

static const char SHAPE[] =
    "{\"tick\":\"t0000000\",\"seq\":\"000000000000\",\"ns\":\"0000000000000000000\",\"sum\":\"00000000\",\"fill\":\"";

/* Four times 64 letters: any window of FILL_BYTES that starts in the first 64 lies inside. */
#define ALPHABET "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
static const char FILL[] = ALPHABET ALPHABET ALPHABET ALPHABET;

static const char *fill_of(const struct tick *tick) { return FILL + (tick->sequence * 7 + tick->topic) % 64; }

static uint32_t sum_of(const struct tick *tick)
{
    uint64_t mix = tick->sequence * 0x9e3779b97f4a7c15u ^ tick->due_ns;
    mix = (mix ^ (mix >> 29)) * 0xbf58476d1ce4e5b9u + tick->topic * 0x94d049bb133111ebu;
    return (uint32_t)(mix ^ (mix >> 32));
}

static void put_decimal(char *out, int digits, uint64_t value)
{
    while (digits-- > 0) {
        out[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

static int get_decimal(const char *in, int digits, uint64_t *value)
{
    uint64_t sum = 0;
    for (int i = 0; i < digits; i++) {
        unsigned digit = (unsigned)(in[i] - '0');
        if (digit > 9) return 0;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return 1;
}

static void put_hex(char *out, uint32_t value)
{
    for (int i = SUM_DIGITS; i-- > 0; value >>= 4) out[i] = "0123456789abcdef"[value & 15];
}

void tick_write(char out[TICK_BYTES], const struct tick *tick)
{
    _Static_assert(sizeof SHAPE - 1 == FILL_AT && FILL_AT + FILL_BYTES + 2 == TICK_BYTES, "the layout adds up");
    memcpy(out, SHAPE, FILL_AT);
    put_decimal(out + TOPIC_AT, TOPIC_DIGITS, tick->topic);
    put_decimal(out + SEQUENCE_AT, SEQUENCE_DIGITS, tick->sequence);
    put_decimal(out + DUE_AT, DUE_DIGITS, tick->due_ns);
    put_hex(out + SUM_AT, sum_of(tick));
    memcpy(out + FILL_AT, fill_of(tick), FILL_BYTES);
    memcpy(out + TICK_BYTES - 2, "\"}", 2);
}

int tick_read(const char in[TICK_BYTES], struct tick *tick)
{
    uint64_t topic;
    char sum[SUM_DIGITS];
    if (!get_decimal(in + TOPIC_AT, TOPIC_DIGITS, &topic) || !get_decimal(in + SEQUENCE_AT, SEQUENCE_DIGITS, &tick->sequence) ||
        !get_decimal(in + DUE_AT, DUE_DIGITS, &tick->due_ns))
        return 0;
    tick->topic = (uint32_t)topic;
    put_hex(sum, sum_of(tick));
    return !memcmp(in, SHAPE, TOPIC_AT) &&
           !memcmp(in + TOPIC_AT + TOPIC_DIGITS, SHAPE + TOPIC_AT + TOPIC_DIGITS, SEQUENCE_AT - TOPIC_AT - TOPIC_DIGITS) &&
           !memcmp(in + SEQUENCE_AT + SEQUENCE_DIGITS, SHAPE + SEQUENCE_AT + SEQUENCE_DIGITS,
                   DUE_AT - SEQUENCE_AT - SEQUENCE_DIGITS) &&
           !memcmp(in + DUE_AT + DUE_DIGITS, SHAPE + DUE_AT + DUE_DIGITS, SUM_AT - DUE_AT - DUE_DIGITS) &&
           !memcmp(in + SUM_AT, sum, SUM_DIGITS) &&
           !memcmp(in + SUM_AT + SUM_DIGITS, SHAPE + SUM_AT + SUM_DIGITS, FILL_AT - SUM_AT - SUM_DIGITS) &&
           !memcmp(in + FILL_AT, fill_of(tick), FILL_BYTES) && !memcmp(in + TICK_BYTES - 2, "\"}", 2);
}
