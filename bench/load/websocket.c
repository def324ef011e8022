#define _GNU_SOURCE
#include "websocket.h"

#include <stdio.h>
#include <string.h>

static uint32_t rotate(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

static void sha1_block(uint32_t state[5], const uint8_t block[64])
{
    static const uint32_t ROUND[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t word[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++)
        word[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++) word[i] = rotate(word[i - 3] ^ word[i - 8] ^ word[i - 14] ^ word[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t mix = i < 20 ? ((b & c) | (~b & d)) : i < 40 ? (b ^ c ^ d) : i < 60 ? ((b & c) | (b & d) | (c & d)) : (b ^ c ^ d);
        uint32_t next = rotate(a, 5) + mix + e + ROUND[i / 20] + word[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* SHA-1 (FIPS 180-4) of at most 119 bytes: two blocks, enough for a key and the GUID. */
static void sha1(const uint8_t *in, size_t bytes, uint8_t out[20])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t padded[128] = {0};
    size_t blocks = bytes + 9 <= 64 ? 1 : 2;
    memcpy(padded, in, bytes);
    padded[bytes] = 0x80;
    padded[blocks * 64 - 1] = (uint8_t)(bytes * 8);
    padded[blocks * 64 - 2] = (uint8_t)(bytes * 8 >> 8);
    for (size_t i = 0; i < blocks; i++) sha1_block(state, padded + 64 * i);
    for (int i = 0; i < 20; i++) out[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64_of_20(const uint8_t in[20], char out[ACCEPT_BYTES + 1])
{
    static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t padded[21] = {0};
    memcpy(padded, in, 20);
    for (int i = 0, at = 0; i < 21; i += 3) {
        uint32_t bits = (uint32_t)padded[i] << 16 | (uint32_t)padded[i + 1] << 8 | padded[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6) out[at++] = LETTERS[bits >> shift & 63];
    }
    memcpy(out + ACCEPT_BYTES - 1, "=", 2);
}

void accept_of(const char *key, size_t key_bytes, char accept[ACCEPT_BYTES + 1])
{
    static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 section 1.3 */
    uint8_t joined[119], digest[20];
    if (key_bytes > 64) key_bytes = 64;
    memcpy(joined, key, key_bytes);
    memcpy(joined + key_bytes, GUID, sizeof GUID - 1);
    sha1(joined, key_bytes + sizeof GUID - 1, digest);
    base64_of_20(digest, accept);
}

int frame_read(const uint8_t *in, size_t bytes, struct frame *frame)
{
    if (bytes < 2) return 0;
    frame->fin = in[0] >> 7;
    frame->opcode = in[0] & 15;
    frame->masked = in[1] >> 7;
    size_t length = in[1] & 127, extra = length == 126 ? 2 : length == 127 ? 8 : 0;
    frame->head = 2 + extra + (frame->masked ? 4 : 0);
    if (in[0] & 0x70 || (frame->opcode > OP_BINARY && (frame->opcode < OP_CLOSE || frame->opcode > OP_PONG))) return -1;
    if (frame->opcode >= OP_CLOSE && (!frame->fin || length > 125)) return -1;
    if (bytes < frame->head) return 0;
    if (extra) length = 0;
    for (size_t i = 0; i < extra; i++) length = length << 8 | in[2 + i];
    if (length > (size_t)1 << 40) return -1;
    frame->payload = length;
    if (frame->masked) memcpy(frame->mask, in + frame->head - 4, 4);
    return 1;
}

void frame_unmask(uint8_t *payload, size_t bytes, const uint8_t mask[4])
{
    for (size_t i = 0; i < bytes; i++) payload[i] ^= mask[i & 3];
}

size_t frame_write(uint8_t *out, enum opcode opcode, const void *payload, size_t bytes, int masked)
{
    static const uint8_t MASK[4] = {0x5a, 0xc3, 0x96, 0x0f};
    uint8_t *at = out;
    *at++ = (uint8_t)(0x80 | opcode);
    if (bytes < 126) {
        *at++ = (uint8_t)bytes;
    } else {
        int extra = bytes < 65536 ? 2 : 8;
        *at++ = extra == 2 ? 126 : 127;
        for (int shift = 8 * (extra - 1); shift >= 0; shift -= 8) *at++ = (uint8_t)((uint64_t)bytes >> shift);
    }
    if (masked) {
        out[1] |= 0x80;
        memcpy(at, MASK, 4);
        at += 4;
    }
    memcpy(at, payload, bytes);
    if (masked) frame_unmask(at, bytes, MASK);
    return (size_t)(at - out) + bytes;
}

size_t handshake_request(char *out, size_t room, const char *host, int port, const char *path, const char *protocol)
{
    int bytes = snprintf(out, room,
                         "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Key: " CLIENT_KEY "\r\nSec-WebSocket-Version: 13\r\n%s%s%s\r\n",
                         path, host, port, *protocol ? "Sec-WebSocket-Protocol: " : "", protocol, *protocol ? "\r\n" : "");
    return bytes > 0 && (size_t)bytes < room ? (size_t)bytes : 0;
}

long handshake_answered(const char *in, size_t bytes)
{
    char accept[ACCEPT_BYTES + 1];
    const char *end = memmem(in, bytes, "\r\n\r\n", 4);
    if (!end) return bytes > 8192 ? -1 : 0;
    accept_of(CLIENT_KEY, sizeof CLIENT_KEY - 1, accept);
    if (bytes < 12 || memcmp(in, "HTTP/1.1 101", 12) || !memmem(in, (size_t)(end - in), accept, ACCEPT_BYTES)) return -1;
    return end + 4 - in;
}

long handshake_answer(const char *in, size_t bytes, char *answer)
{
    char accept[ACCEPT_BYTES + 1];
    const char *end = memmem(in, bytes, "\r\n\r\n", 4);
    if (!end) return bytes > 8192 ? -1 : 0;
    for (const char *line = in; line < end;) {
        const char *stop = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
        if (stop - line > 18 && !strncasecmp(line, "sec-websocket-key:", 18)) {
            for (line += 18; line < stop && *line == ' ';) line++;
            accept_of(line, (size_t)(stop - line), accept);
            sprintf(answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
            return end + 4 - in;
        }
        line = stop + 2;
    }
    return -1;
}
