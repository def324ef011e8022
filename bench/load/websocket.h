/* As much of RFC 6455 as a load generator needs, on both sides: the handshake and frame headers. No sockets here. */
#ifndef BENCH_WEBSOCKET_H
#define BENCH_WEBSOCKET_H
#include <stddef.h>
#include <stdint.h>

enum opcode { OP_CONTINUATION = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

#define FRAME_HEAD_MAX 14
#define ACCEPT_BYTES 28
#define CLIENT_KEY "YmVuY2gtY2xpZW50LWtleQ==" /* one for all: who answers it is all that is checked */

struct frame {
    uint8_t opcode, fin, masked;
    uint8_t mask[4];
    size_t head;    /* bytes of the header */
    size_t payload; /* bytes of the payload */
};

/* 1 and *frame once the whole header is in `in`, 0 if it needs more bytes, -1 if no peer may send this. */
int frame_read(const uint8_t *in, size_t bytes, struct frame *frame);

/* The whole frame into `out` (room for payload + FRAME_HEAD_MAX); a client masks. Returns its length. */
size_t frame_write(uint8_t *out, enum opcode opcode, const void *payload, size_t bytes, int masked);

/* In place; the mask starts at its first byte. */
void frame_unmask(uint8_t *payload, size_t bytes, const uint8_t mask[4]);

void accept_of(const char *key, size_t key_bytes, char accept[ACCEPT_BYTES + 1]);

/* Client: the request for `path`; returns its length, or 0 if it does not fit. */
size_t handshake_request(char *out, size_t room, const char *host, int port, const char *path, const char *protocol);

/* Client: length of a complete and right answer, 0 if more bytes are needed, -1 if it is a refusal or wrong. */
long handshake_answered(const char *in, size_t bytes);

/* Server: length of a complete request and the answer in `answer` (room for 160), 0 if more bytes are needed, -1 if wrong. */
long handshake_answer(const char *in, size_t bytes, char *answer);
#endif
