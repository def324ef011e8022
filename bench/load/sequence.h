/* Was every message of a topic delivered once and in order? One `stream` answers for one topic on one connection. */
#ifndef BENCH_SEQUENCE_H
#define BENCH_SEQUENCE_H
#include <stdint.h>

/* Skipped ranges a stream remembers, to tell a late message from a doubled one. The oldest is forgotten first; a message that
 * comes late into a forgotten hole is then called doubled: still a fault, under its other name. */
#define HOLES_MAX 4

struct stream {
    uint32_t topic;
    uint32_t holes;
    uint64_t first, next; /* numbers seen: first, and one past the highest; equal while nothing was seen */
    struct {
        uint64_t from, to;
    } hole[HOLES_MAX];
};

struct tally {
    uint64_t delivered; /* distinct messages */
    uint64_t skipped;   /* not delivered before a later one; a late one takes itself off again */
    uint64_t late;      /* delivered after a later one: reordered */
    uint64_t doubled;   /* delivered again */
    uint64_t stranger;  /* of a topic that was not subscribed */
    uint64_t corrupt;   /* a wrong byte */
};

void sequence_take(struct stream *stream, uint64_t sequence, struct tally *tally);
#endif
