/* The measured payload: a 200-byte JSON ticker that carries its own proof.
 *
 *   {"tick":"t0000017","seq":"000000000123","ns":"0000012345678901234","sum":"89abcdef","fill":"..."}
 *
 * tick  which topic (t and 7 digits); seq  its number in that topic, from 0; ns  CLOCK_MONOTONIC nanoseconds at which the
 * schedule wanted it sent (not when it was sent: a late publisher must not hide latency); sum  a mix of the three numbers;
 * fill  106 bytes that follow from topic and seq. Widths are fixed, so that a reader needs no JSON parser and any wrong byte is
 * seen.
 */
#ifndef BENCH_TICK_H
#define BENCH_TICK_H
#include <stddef.h>
#include <stdint.h>

#define TICK_BYTES 200
#define TICK_MARK "{\"tick\":\"t"
#define TICK_MARK_BYTES 10
#define TICK_TOPICS_MAX 10000000u /* what 7 digits can name */

struct tick {
    uint32_t topic;
    uint64_t sequence;
    uint64_t due_ns;
};

void tick_write(char out[TICK_BYTES], const struct tick *tick);

/* 1 and *tick when the TICK_BYTES at `in` are exactly what tick_write makes of some tick, else 0. */
int tick_read(const char in[TICK_BYTES], struct tick *tick);
#endif
