#define _GNU_SOURCE
#include "client.h"

#include "common.h"
#include "tick.h"
#include "websocket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define READ_BYTES ((size_t)256 << 10)
#define FRAME_BYTES_MAX ((size_t)64 << 20) /* NATS puts all that is pending into one frame: its max_pending */

static uint64_t random_of(uint64_t *state) /* splitmix64 */
{
    uint64_t mix = *state += 0x9e3779b97f4a7c15u;
    mix = (mix ^ (mix >> 30)) * 0xbf58476d1ce4e5b9u;
    mix = (mix ^ (mix >> 27)) * 0x94d049bb133111ebu;
    return mix ^ (mix >> 31);
}

static struct stream *stream_of(struct client *client, uint32_t topic, int add)
{
    uint32_t slot = topic * 2654435761u & (client->slots - 1);
    for (; client->taken[slot]; slot = (slot + 1) & (client->slots - 1))
        if (client->stream[slot].topic == topic) return add ? NULL : &client->stream[slot];
    if (!add) return NULL;
    client->taken[slot] = 1;
    client->stream[slot] = (struct stream){.topic = topic};
    return &client->stream[slot];
}

void client_subscribes_to(struct client *client, struct load *load)
{
    client->streams = (uint32_t)(load->topics_each < load->topics ? load->topics_each : load->topics);
    for (client->slots = 2; client->slots < 2 * client->streams; client->slots *= 2) {}
    client->stream = calloc(client->slots, sizeof *client->stream);
    client->taken = calloc(client->slots, 1);
    if (!client->stream || !client->taken) die("memory");
    for (uint32_t have = 0; have < client->streams;) {
        uint64_t topic = client->streams == load->topics ? have : random_of(&load->seed) % load->topics;
        if (stream_of(client, (uint32_t)topic, 1)) have++;
    }
}

void client_free(struct client *client)
{
    free(client->stream);
    free(client->taken);
    free(client->rest);
    free(client->carry);
}

static void keep(uint8_t **kept, size_t *kept_bytes, size_t *room, const uint8_t *bytes, size_t count, size_t want)
{
    if (want < *kept_bytes + count) want = *kept_bytes + count;
    if (want > *room) {
        *kept = realloc(*kept, want);
        if (!*kept) die("memory");
        *room = want;
    }
    if (count) memcpy(*kept + *kept_bytes, bytes, count);
    *kept_bytes += count;
}

/* A client writes a few bytes, rarely. If the socket does not take them whole, they are dropped and counted. */
static void write_bytes(struct client *client, struct load *load, const void *bytes, size_t count)
{
    if (send(client->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)count) load->dropped_writes++;
}

static void write_frame(struct client *client, struct load *load, enum opcode opcode, const void *payload, size_t bytes)
{
    uint8_t *frame = malloc(bytes + FRAME_HEAD_MAX);
    if (!frame) die("memory");
    write_bytes(client, load, frame, frame_write(frame, opcode, payload, bytes, 1));
    free(frame);
}

void client_connected(struct client *client, struct load *load)
{
    char path[4096], request[5120];
    uint32_t topic = 0;
    for (uint32_t slot = 0; slot < client->slots; slot++)
        if (client->taken[slot]) topic = client->stream[slot].topic;
    no_delay(client->fd);
    size_t bytes = expand(path, sizeof path, load->path, topic, client->index)
                       ? handshake_request(request, sizeof request, load->host, (int)load->port, path, load->protocol) : 0;
    errno = 0;
    if (!bytes) die("--path is too long");
    write_bytes(client, load, request, bytes);
    client->state = SHAKING;
}

static void subscribe(struct client *client, struct load *load)
{
    size_t room = 512 + strlen(load->subscribe_head) + strlen(load->subscribe_tail) +
                  client->streams * (32 + strlen(load->subscribe_each) + strlen(load->subscribe_between));
    char *text = malloc(room);
    if (!text) die("memory");
    size_t at = expand(text, room, load->subscribe_head, 0, client->index);
    uint32_t n = 0;
    for (uint32_t slot = 0; slot < client->slots; slot++) {
        if (!client->taken[slot]) continue;
        if (n++) at += expand(text + at, room - at, load->subscribe_between, 0, n);
        at += expand(text + at, room - at, load->subscribe_each, client->stream[slot].topic, n);
    }
    at += expand(text + at, room - at, load->subscribe_tail, 0, client->index);
    if (at) write_frame(client, load, load->binary ? OP_BINARY : OP_TEXT, text, at);
    /* Else a pong that nobody asked for (RFC 6455, 5.5.3). Linux acknowledges each message at once for who has only listened, and
     * every second one for who has answered something; what waits for that costs the server 2 % more (docs/design/fan-out.md). A
     * browser has answered since its first ping, so the clients of every server have. */
    else write_frame(client, load, OP_PONG, "", 0);
    free(text);
    client->state = *load->ready ? SUBSCRIBING : READY;
}

static void tick_arrived(struct client *client, struct load *load, const char *at, uint64_t now)
{
    struct tick tick;
    if (!tick_read(at, &tick)) {
        load->tally.corrupt++;
        return;
    }
    struct stream *stream = stream_of(client, tick.topic, 0);
    if (!stream) {
        load->tally.stranger++;
        return;
    }
    sequence_take(stream, tick.sequence, &load->tally);
    histogram_add(&load->latency, now > tick.due_ns ? now - tick.due_ns : 0);
}

static int begins(const char *text, size_t bytes, const char *with)
{
    size_t length = strlen(with);
    return length && bytes >= length && !memcmp(text, with, length);
}

static void control_arrived(struct client *client, struct load *load, const char *text, size_t bytes)
{
    int known = 0;
    if (client->state == SUBSCRIBING && memmem(text, bytes, load->ready, strlen(load->ready))) {
        client->state = READY;
        known = 1;
    }
    if (begins(text, bytes, load->reply_to)) {
        write_frame(client, load, load->binary ? OP_BINARY : OP_TEXT, load->reply_with, strlen(load->reply_with));
        known = 1;
    }
    for (int i = 0; i < CONTROLS_MAX && load->control[i]; i++) {
        if (!begins(text, bytes, load->control[i])) continue;
        load->controls[i]++;
        return;
    }
    if (!known) load->tally.corrupt++;
}

static void message_arrived(struct client *client, struct load *load, const char *text, size_t bytes, uint64_t now)
{
    static size_t guess; /* where the last ticker began: an envelope seldom changes its length */
    if (bytes >= guess + TICK_BYTES && !memcmp(text + guess, TICK_MARK, TICK_MARK_BYTES)) {
        tick_arrived(client, load, text + guess, now);
        return;
    }
    const char *mark = memmem(text, bytes, TICK_MARK, TICK_MARK_BYTES);
    if (!mark) {
        control_arrived(client, load, text, bytes);
    } else if ((size_t)(text + bytes - mark) < TICK_BYTES) {
        load->tally.corrupt++;
    } else {
        guess = (size_t)(mark - text);
        tick_arrived(client, load, mark, now);
    }
}

/* Lines and `MSG subject sid bytes CRLF payload CRLF`. Returns the bytes it took; the rest is not whole. */
static size_t nats_arrived(struct client *client, struct load *load, const char *text, size_t bytes, uint64_t now)
{
    const char *at = text, *end = text + bytes;
    while (at < end) {
        const char *line_end = memmem(at, (size_t)(end - at), "\r\n", 2);
        if (!line_end) break;
        if (!begins(at, (size_t)(line_end - at), "MSG ")) {
            control_arrived(client, load, at, (size_t)(line_end - at));
            at = line_end + 2;
            continue;
        }
        const char *size = memrchr(at, ' ', (size_t)(line_end - at));
        size_t payload = strtoul(size, NULL, 10);
        if ((size_t)(end - line_end) < payload + 4) break;
        message_arrived(client, load, line_end + 2, payload, now);
        at = line_end + 2 + payload + 2;
    }
    return (size_t)(at - text);
}

static void payload_arrived(struct client *client, struct load *load, const char *text, size_t bytes, uint64_t now)
{
    if (load->dialect == ONE_IN_A_FRAME) {
        message_arrived(client, load, text, bytes, now);
    } else if (load->dialect == LINES) {
        for (const char *at = text, *end = text + bytes; at < end;) {
            const char *line_end = memchr(at, '\n', (size_t)(end - at));
            if (!line_end) line_end = end;
            if (line_end > at) message_arrived(client, load, at, (size_t)(line_end - at), now);
            at = line_end + 1;
        }
    } else if (client->carry_bytes) {
        keep(&client->carry, &client->carry_bytes, &client->carry_room, (const uint8_t *)text, bytes, 0);
        size_t took = nats_arrived(client, load, (char *)client->carry, client->carry_bytes, now);
        memmove(client->carry, client->carry + took, client->carry_bytes -= took);
    } else {
        size_t took = nats_arrived(client, load, text, bytes, now);
        keep(&client->carry, &client->carry_bytes, &client->carry_room, (const uint8_t *)text + took, bytes - took, 0);
    }
}

/* One whole frame: 0 when it ends the connection. */
static int frame_arrived(struct client *client, struct load *load, const struct frame *frame, const uint8_t *payload, uint64_t now)
{
    switch (frame->opcode) {
    case OP_TEXT:
    case OP_BINARY:
        if (!frame->fin) load->tally.corrupt++; /* no peer here has a reason to fragment 200 bytes */
        payload_arrived(client, load, (const char *)payload, frame->payload, now);
        return 1;
    case OP_PING:
        load->pings++;
        write_frame(client, load, OP_PONG, payload, frame->payload);
        return 1;
    case OP_PONG:
        return 1;
    case OP_CLOSE:
        client->close_code = frame->payload >= 2 ? (uint16_t)(payload[0] << 8 | payload[1]) : 1005;
        write_frame(client, load, OP_CLOSE, payload, frame->payload >= 2 ? 2 : 0);
        return 0;
    default:
        load->tally.corrupt++;
        return 1;
    }
}

/* Takes all whole frames (or the handshake's answer). Returns the bytes taken, or -1 when the connection is over; *want is what
 * the next frame needs in all. */
static long bytes_arrived(struct client *client, struct load *load, const uint8_t *in, size_t bytes, size_t *want, uint64_t now)
{
    size_t at = 0;
    *want = 0;
    if (client->state == SHAKING) {
        long answer = handshake_answered((const char *)in, bytes);
        if (answer < 0 && !load->refused++) fprintf(stderr, "load: refused: %.*s\n", (int)(bytes < 1000 ? bytes : 1000), (const char *)in);
        if (answer <= 0) return answer;
        at = (size_t)answer;
        subscribe(client, load);
    }
    while (at < bytes) {
        struct frame frame;
        int whole = frame_read(in + at, bytes - at, &frame);
        if (whole < 0 || (whole && (frame.masked || frame.payload > FRAME_BYTES_MAX))) {
            load->tally.corrupt++;
            return -1;
        }
        if (!whole) break;
        *want = frame.head + frame.payload;
        if (bytes - at < *want) break;
        if (!frame_arrived(client, load, &frame, in + at + frame.head, now)) return -1;
        at += *want;
        if (client->kind != READER && client->state == READY) return (long)bytes; /* from here on it does not read */
    }
    return (long)at;
}

int client_readable(struct client *client, struct load *load)
{
    static uint8_t shared[READ_BYTES];
    size_t had = client->rest_bytes;
    uint8_t *into = shared;
    size_t room = READ_BYTES, want;
    if (had) {
        keep(&client->rest, &client->rest_bytes, &client->rest_room, NULL, 0, had + READ_BYTES / 4);
        into = client->rest;
        room = client->rest_room;
    }
    ssize_t got = recv(client->fd, into + had, room - had, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (!got) return 0;
    load->reads++;
    load->bytes += (uint64_t)got;
    long took = bytes_arrived(client, load, into, had + (size_t)got, &want, now_ns());
    if (took < 0) return 0;
    size_t left = had + (size_t)got - (size_t)took;
    if (had) {
        memmove(client->rest, client->rest + took, left);
        client->rest_bytes = left;
        if (want > client->rest_room) keep(&client->rest, &client->rest_bytes, &client->rest_room, NULL, 0, want);
    } else if (left) {
        keep(&client->rest, &client->rest_bytes, &client->rest_room, shared + took, left, want);
    }
    return 1;
}

int client_sip(struct client *client, struct load *load, size_t bytes)
{
    uint8_t away[4096];
    ssize_t got = recv(client->fd, away, bytes < sizeof away ? bytes : sizeof away, MSG_DONTWAIT);
    if (got > 0) load->bytes += (uint64_t)got;
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}
