/* The floor: what a plain send() loop costs. No server that gives each client its own socket can be cheaper per message.
 *
 * It accepts WebSocket clients (--port), takes tickers one a line from a publisher (--publish-port), and sends each one as a text
 * frame to every client with one send() per client; with --topics N to those that asked for its topic, by one text frame with the
 * names of all they want ("t0000017 t0000099"), which is answered by "ready". What a socket does not take whole is kept (the rest of one frame); while a
 * rest is kept, further messages to that client are dropped: the floor owes nobody completeness, the load generator counts it.
 */
#define _GNU_SOURCE
#include "../load/common.h"
#include "../load/tick.h"
#include "../load/websocket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX 19500
#define FRAME_BYTES (TICK_BYTES + 4)

static struct client {
    int open;
    unsigned member; /* where it stands in `members` */
    size_t rest;     /* bytes of the last frame the socket did not take */
    uint8_t frame[FRAME_BYTES];
} clients[20000]; /* by descriptor */
static int members[CLIENTS_MAX];
static unsigned member_count;
static struct topic {
    int *readers;
    unsigned count, room;
} *topics; /* NULL: one for everybody */
static uint64_t topic_count;
static int poller, listener, publishers;

static void watch(int fd, uint32_t events, int how)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(poller, how, fd, &event)) die("epoll_ctl");
}

static void leave(int fd)
{
    if (clients[fd].open) {
        members[clients[fd].member] = members[--member_count];
        clients[members[clients[fd].member]].member = clients[fd].member;
    }
    clients[fd].open = 0;
    close(fd);
}

static void fan_out(const int *to, unsigned count, const uint8_t *frame, size_t bytes)
{
    for (unsigned i = 0; i < count; i++) {
        struct client *client = &clients[to[i]];
        if (client->rest || !client->open) continue;
        ssize_t took = send(to[i], frame, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (took == (ssize_t)bytes || took <= 0) continue; /* a broken one is seen by epoll */
        client->rest = bytes - (size_t)took;
        memcpy(client->frame, frame + took, client->rest);
        watch(to[i], EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    }
}

/* A line is a ticker: {"tick":"t0000017",... */
static void publish(const char *line)
{
    uint8_t frame[FRAME_BYTES];
    size_t bytes = frame_write(frame, OP_TEXT, line, TICK_BYTES, 0);
    if (!topics) {
        fan_out(members, member_count, frame, bytes);
        return;
    }
    uint64_t topic = strtoull(line + TICK_MARK_BYTES, NULL, 10);
    if (topic < topic_count) fan_out(topics[topic].readers, topics[topic].count, frame, bytes);
}

/* Who has asked stays in the lists of its topics until the end: a descriptor is not given to another client meanwhile. */
static void subscribe(int fd, uint8_t *in, size_t bytes)
{
    struct frame frame;
    uint8_t out[16];
    if (frame_read(in, bytes, &frame) != 1 || frame.opcode != OP_TEXT || bytes < frame.head + frame.payload) return;
    char *text = (char *)in + frame.head, *end = text + frame.payload;
    frame_unmask((uint8_t *)text, frame.payload, frame.mask);
    for (; text < end && *text == 't'; text += 9) {
        uint64_t number = 0;
        for (int i = 1; i < 8; i++) number = number * 10 + (uint64_t)(text[i] - '0');
        if (number >= topic_count) return;
        struct topic *topic = &topics[number];
        if (topic->count == topic->room) {
            topic->room = topic->room ? 2 * topic->room : 64;
            topic->readers = realloc(topic->readers, topic->room * sizeof *topic->readers);
            if (!topic->readers) die("realloc");
        }
        topic->readers[topic->count++] = fd;
    }
    if (send(fd, out, frame_write(out, OP_TEXT, "ready", 5, 0), MSG_NOSIGNAL) < 0) leave(fd);
}

static void writable(int fd)
{
    struct client *client = &clients[fd];
    ssize_t took = send(fd, client->frame, client->rest, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (took <= 0) return;
    client->rest -= (size_t)took;
    memmove(client->frame, client->frame + took, client->rest);
    if (!client->rest) watch(fd, EPOLLIN, EPOLL_CTL_MOD);
}

static void client_said(int fd)
{
    char in[8192], answer[160];
    ssize_t got = recv(fd, in, sizeof in, 0);
    if (got <= 0) {
        leave(fd);
    } else if (!clients[fd].open) {
        if (handshake_answer(in, (size_t)got, answer) <= 0 || send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0) {
            leave(fd);
            return;
        }
        clients[fd] = (struct client){.open = 1, .member = member_count};
        members[member_count++] = fd;
    } else if (topics) {
        subscribe(fd, (uint8_t *)in, (size_t)got);
    }
}

static int publisher = -1;

static void publisher_said(void)
{
    static char in[65536];
    static size_t have;
    size_t at = 0;
    ssize_t got = recv(publisher, in + have, sizeof in - have, 0);
    if (got <= 0) {
        close(publisher);
        publisher = -1;
        return;
    }
    for (have += (size_t)got; have - at >= TICK_BYTES + 1; at += TICK_BYTES + 1)
        publish(in + at);
    have -= at;
    memmove(in, in + at, have);
}

static void accept_client(void)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (member_count == CLIENTS_MAX || fd >= 20000) {
        close(fd);
        return;
    }
    no_delay(fd);
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
}

static void accept_publisher(void)
{
    publisher = accept4(publishers, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (publisher >= 0) watch(publisher, EPOLLIN, EPOLL_CTL_ADD);
}

int main(int argc, char **argv)
{
    uint64_t port = 0, publish_port = 0, life_s = 600;
    int bound, publish_bound;
    const struct option_of known[] = {
        {"--port", &port, NULL}, {"--publish-port", &publish_port, NULL}, {"--topics", &topic_count, NULL},
        {"--life-s", &life_s, NULL}};
    options(argc, argv, known, sizeof known / sizeof *known);
    bounded_life((unsigned)life_s);
    if (topic_count > 1 && !(topics = calloc(topic_count, sizeof *topics))) die("calloc");
    poller = epoll_create1(EPOLL_CLOEXEC);
    listener = listen_on((int)port, &bound);
    publishers = listen_on((int)publish_port, &publish_bound);
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    watch(publishers, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        struct epoll_event events[256];
        int count = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) accept_client();
            else if (fd == publishers) accept_publisher();
            else if (fd == publisher) publisher_said();
            else if (events[i].events & EPOLLOUT && clients[fd].rest) writable(fd);
            else client_said(fd);
        }
    }
}
