/* One measuring client: a WebSocket that subscribes, reads and proves what it reads. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H
#include "histogram.h"
#include "sequence.h"

#include <stddef.h>
#include <stdint.h>

#define CONTROLS_MAX 8 /* --control options: frames that are no messages, by how they begin */

enum dialect {
    ONE_IN_A_FRAME, /* relayd and the libraries: one message in a frame */
    LINES,          /* Centrifugo: one or more in a frame, a newline between them */
    NATS,           /* NATS: a stream of MSG blocks and lines that minds no frame */
};
enum client_state { CLOSED, CONNECTING, SHAKING, SUBSCRIBING, READY };
enum client_kind { READER, NEVER_READER, SLOW_READER };

struct load {
    /* what to do: set once from the options */
    const char *host, *path, *protocol;
    const char *subscribe_head, *subscribe_each, *subscribe_between, *subscribe_tail; /* {topic} and {n} are replaced */
    const char *ready, *reply_to, *reply_with;
    const char *control[CONTROLS_MAX];
    uint64_t port, binary, topics, topics_each, seed;
    enum dialect dialect;
    /* what was seen */
    struct tally tally;
    struct histogram latency;
    uint64_t controls[CONTROLS_MAX], pings, bytes, reads, refused, dropped_writes;
};

struct client {
    int fd;
    uint8_t state, kind;
    uint16_t close_code; /* 1006 without a close frame */
    uint32_t index;
    uint32_t streams;      /* topics it subscribes to */
    uint32_t slots;        /* size of the two tables below: a power of two, at least twice the streams */
    struct stream *stream; /* open addressing by topic; slots that are not `taken` are free */
    uint8_t *taken;
    uint8_t *rest;         /* bytes of a frame that is not whole yet */
    size_t rest_bytes, rest_room;
    uint8_t *carry;        /* NATS: bytes of a message that is not whole yet */
    size_t carry_bytes, carry_room;
    uint64_t closed_ns;
};

/* Gives it its topics: all of them to everybody if topics_each is as many, else a random set without repetition. */
void client_subscribes_to(struct client *client, struct load *load);
void client_free(struct client *client);

/* The socket can be read: 1, or 0 when the connection is over (closed by the peer, or a protocol error). */
int client_readable(struct client *client, struct load *load);

/* The TCP connection stands: sends the handshake. */
void client_connected(struct client *client, struct load *load);

/* A slow reader's turn: throws at most `bytes` away. */
int client_sip(struct client *client, struct load *load, size_t bytes);
#endif
