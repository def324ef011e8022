/* The publisher: sends tickers on a schedule, in whatever way the server under test takes them.
 *
 *   feed   a WebSocket server that the relay dials (relayd): text frames
 *   lines  a TCP connection to the server: one ticker a line (the floor and the libraries, which bring no publishing of their own)
 *   nats   a NATS client connection: PUB
 *   http   POST over one connection, pipelined up to --depth (nchan, Centrifugo, relayd)
 *
 * Every ticker carries the time at which the schedule wanted it sent. A server that pushes back delays the publisher, never the
 * schedule, so waiting counts as latency (no coordinated omission).
 * On stdout {"event":"listening","port":N} (feed), {"event":"connected"}, and after each `go` {"event":"done", ...}. On stdin:
 *   go RATE COUNT MS   RATE messages a second (0 = as fast as they are taken) until COUNT (0 = no limit) or MS milliseconds
 *   count              how many so far                                             -> {"event":"count", ...}
 *   quit               (or the end of stdin)
 */
#define _GNU_SOURCE
#include "common.h"
#include "tick.h"
#include "websocket.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PENDING_MAX ((size_t)256 << 10) /* bytes written ahead of the socket; beyond them the schedule has to wait */
#define MESSAGE_MAX 4096                /* one message with its request head */
#define CONNECT_WITHIN_NS (10 * SECOND_NS)
#define BURST_AT_FULL_SPEED 64          /* messages made between two looks at the socket when RATE is 0 */

enum dialect { FEED, LINES, NATS, HTTP };
static const char *const DIALECTS[] = {"feed", "lines", "nats", "http"};

static enum dialect dialect;
static const char *dialect_name = "lines", *subject = "{topic}", *path = "/{topic}", *head = "", *body_head = "", *body_tail = "";
static uint64_t port, topics = 1, depth = 32, life_s = 600;

static int listener = -1, connection = -1, open_for_messages;
static uint8_t pending[PENDING_MAX + MESSAGE_MAX];
static size_t pending_from, pending_to;
static char inbox[65536];
static size_t inbox_bytes;

static uint64_t published, replies, refused; /* replies: HTTP only */
static uint64_t rate, go_count, go_published, go_start_ns, go_end_ns, late_max_ns;
static int going;

static void say(const char *event)
{
    printf("{\"event\":\"%s\"}\n", event);
    fflush(stdout);
}

static void hang_up(void)
{
    close(connection);
    connection = -1;
    open_for_messages = 0;
    inbox_bytes = pending_from = pending_to = 0;
    say("disconnected");
}

static void flush_pending(void)
{
    while (pending_from < pending_to) {
        ssize_t took = send(connection, pending + pending_from, pending_to - pending_from, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (took < 0 && errno == EINTR) continue;
        if (took < 0 && errno != EAGAIN) hang_up();
        if (took < 0) return;
        pending_from += (size_t)took;
    }
    pending_from = pending_to = 0;
}

static void put(const void *bytes, size_t count)
{
    if (pending_to + count > sizeof pending) {
        memmove(pending, pending + pending_from, pending_to - pending_from);
        pending_to -= pending_from;
        pending_from = 0;
    }
    memcpy(pending + pending_to, bytes, count);
    pending_to += count;
}

static void put_message(const struct tick *tick)
{
    char text[MESSAGE_MAX], ticker[TICK_BYTES + 1], name[1024];
    size_t bytes;
    tick_write(ticker, tick);
    if (dialect == FEED) {
        put(text, frame_write((uint8_t *)text, OP_TEXT, ticker, TICK_BYTES, 0));
    } else if (dialect == LINES) {
        ticker[TICK_BYTES] = '\n';
        put(ticker, TICK_BYTES + 1);
    } else if (dialect == NATS) {
        expand(name, sizeof name, subject, tick->topic, 0);
        put(text, (size_t)snprintf(text, sizeof text, "PUB %s %d\r\n%.*s\r\n", name, TICK_BYTES, TICK_BYTES, ticker));
    } else {
        char body[1024];
        bytes = expand(body, sizeof body, body_head, tick->topic, 0);
        memcpy(body + bytes, ticker, TICK_BYTES);
        bytes += TICK_BYTES;
        bytes += expand(body + bytes, sizeof body - bytes, body_tail, tick->topic, 0);
        expand(name, sizeof name, path, tick->topic, 0);
        put(text, (size_t)snprintf(text, sizeof text,
                                   "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                                   "Content-Length: %zu\r\n%s\r\n%.*s", name, (int)port, bytes, head, (int)bytes, body));
    }
}

/* May another message be made now? */
static int room(void)
{
    if (!open_for_messages || pending_to - pending_from > PENDING_MAX) return 0;
    return dialect != HTTP || published - replies < depth;
}

static uint64_t due_ns(uint64_t now) { return rate ? go_start_ns + go_published * SECOND_NS / rate : now; }

static void publish_due(void)
{
    unsigned burst = rate ? UINT32_MAX : BURST_AT_FULL_SPEED;
    while (going && room() && burst--) {
        uint64_t now = now_ns(), due = due_ns(now);
        if ((go_count && go_published == go_count) || now >= go_end_ns) going = 0;
        if (!going || due > now) break;
        if (now - due > late_max_ns) late_max_ns = now - due;
        put_message(&(struct tick){(uint32_t)(published % topics), published / topics, due});
        published++;
        go_published++;
    }
    if (going && now_ns() >= go_end_ns) going = 0;
    if (connection >= 0) flush_pending();
}

static void report(void)
{
    printf("{\"event\":\"done\",\"published\":%" PRIu64 ",\"in_this_go\":%" PRIu64 ",\"seconds\":%.6f,\"late_max_us\":%" PRIu64
           ",\"pending_bytes\":%zu,\"replies\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"cpu_s\":%.6f,\"start_ns\":%" PRIu64 "}\n",
           published, go_published, (double)(now_ns() - go_start_ns) / 1e9, late_max_ns / 1000, pending_to - pending_from, replies,
           refused, cpu_s(), go_start_ns);
    fflush(stdout);
}

static void opened(void)
{
    open_for_messages = 1;
    say("connected");
}

/* What the server says: NATS lines, HTTP status lines. Whole lines are looked at, the rest waits in the inbox. */
static void lines_arrived(void)
{
    char *at = inbox, *end = inbox + inbox_bytes, *stop;
    while ((stop = memchr(at, '\n', (size_t)(end - at)))) {
        if (dialect == NATS && !strncmp(at, "INFO", 4)) {
            static const char HELLO[] = "CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"bench\"}\r\nPING\r\n";
            put(HELLO, sizeof HELLO - 1);
        } else if (dialect == NATS && !strncmp(at, "PING", 4)) {
            put("PONG\r\n", 6);
        } else if (dialect == NATS && !strncmp(at, "PONG", 4)) {
            if (!open_for_messages) opened();
        } else if (dialect == NATS && !strncmp(at, "-ERR", 4)) {
            refused++;
        } else if (dialect == HTTP && !strncmp(at, "HTTP/1.1 ", 9)) {
            replies++;
            if (at[9] != '2' && !refused++) fprintf(stderr, "publish: %.*s\n", (int)(stop - at), at);
        } else if (dialect == HTTP && (at = memmem(at, (size_t)(stop - at), "HTTP/1.1 ", 9))) {
            continue; /* it follows a body that does not end in a newline */
        }
        at = stop + 1;
    }
    inbox_bytes = (size_t)(end - at);
    memmove(inbox, at, inbox_bytes);
}

/* The relay says something to the feed: pings, a close, subscribe messages (which are not answered). */
static void frames_arrived(void)
{
    struct frame frame;
    uint8_t *in = (uint8_t *)inbox, answer[256];
    size_t at = 0;
    while (frame_read(in + at, inbox_bytes - at, &frame) == 1 && inbox_bytes - at >= frame.head + frame.payload) {
        uint8_t *payload = in + at + frame.head;
        if (frame.masked) frame_unmask(payload, frame.payload, frame.mask);
        if (frame.opcode == OP_PING) put(answer, frame_write(answer, OP_PONG, payload, frame.payload, 0));
        at += frame.head + frame.payload;
        if (frame.opcode == OP_CLOSE) {
            hang_up();
            return;
        }
    }
    inbox_bytes -= at;
    memmove(in, in + at, inbox_bytes);
}

static void bytes_arrived(void)
{
    ssize_t got = recv(connection, inbox + inbox_bytes, sizeof inbox - inbox_bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        hang_up();
        return;
    }
    inbox_bytes += (size_t)got;
    if (dialect != FEED) {
        lines_arrived();
    } else if (!open_for_messages) {
        char answer[160];
        long request = handshake_answer(inbox, inbox_bytes, answer);
        if (request < 0) hang_up();
        if (request <= 0) return;
        inbox_bytes -= (size_t)request;
        memmove(inbox, inbox + request, inbox_bytes);
        put(answer, strlen(answer));
        opened();
    } else {
        frames_arrived();
    }
    if (connection >= 0) flush_pending();
}

static void accept_relay(void)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (connection >= 0) hang_up(); /* the newest wins: a relay that dials again has lost the old one */
    connection = fd;
    no_delay(fd);
}

static void connect_to_server(void)
{
    struct sockaddr_in to = loopback(1, (int)port);
    uint64_t until = now_ns() + CONNECT_WITHIN_NS;
    for (;;) {
        connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connection < 0) die("socket");
        if (!connect(connection, (struct sockaddr *)&to, sizeof to)) break;
        if (now_ns() > until) die("connect");
        close(connection);
        usleep(20000);
    }
    no_delay(connection);
    if (dialect != NATS) opened();
}

static int command(const char *line)
{
    uint64_t milliseconds;
    if (!strcmp(line, "count")) {
        printf("{\"event\":\"count\",\"published\":%" PRIu64 ",\"replies\":%" PRIu64 ",\"ns\":%" PRIu64 "}\n", published, replies, now_ns());
        fflush(stdout);
        return 1;
    }
    if (sscanf(line, "go %" SCNu64 " %" SCNu64 " %" SCNu64, &rate, &go_count, &milliseconds) != 3) return 0;
    go_published = late_max_ns = 0;
    go_start_ns = now_ns();
    go_end_ns = go_start_ns + milliseconds * (SECOND_NS / 1000);
    going = 1;
    return 1;
}

static int stdin_ready(void)
{
    static char line[256];
    static size_t have;
    ssize_t got = read(STDIN_FILENO, line + have, sizeof line - 1 - have);
    if (got < 0 && errno == EAGAIN) return 1;
    if (got <= 0) return 0;
    have += (size_t)got;
    line[have] = 0;
    for (char *end; (end = strchr(line, '\n'));) {
        *end = 0;
        if (!command(line)) return 0;
        have -= (size_t)(end + 1 - line);
        memmove(line, end + 1, have + 1);
    }
    return have < sizeof line - 1;
}

/* Until the next message is due, until the socket takes more, or 50 ms when only the end of the run is to be seen. */
static struct timespec patience(void)
{
    uint64_t wait = going ? 50000000 : SECOND_NS;
    if (going && room()) {
        uint64_t now = now_ns(), due = due_ns(now);
        uint64_t until_due = due > now ? due - now : 0;
        if (until_due < wait) wait = until_due;
    }
    return (struct timespec){(time_t)(wait / SECOND_NS), (long)(wait % SECOND_NS)};
}

static void run(void)
{
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    prctl(PR_SET_TIMERSLACK, 1000);
    for (;;) {
        struct pollfd watched[3] = {
            {.fd = STDIN_FILENO, .events = POLLIN},
            {.fd = listener, .events = POLLIN},
            {.fd = connection, .events = (short)(POLLIN | (pending_from < pending_to ? POLLOUT : 0))},
        };
        struct timespec wait = patience();
        ppoll(watched, 3, &wait, NULL);
        if (watched[1].revents) accept_relay();
        else if (connection >= 0 && watched[2].revents & (POLLIN | POLLERR | POLLHUP)) bytes_arrived();
        if (going) {
            publish_due();
            if (!going) report();
        } else if (connection >= 0) {
            flush_pending();
        }
        if (watched[0].revents && !stdin_ready()) return;
    }
}

int main(int argc, char **argv)
{
    const struct option_of known[] = {
        {"--dialect", NULL, &dialect_name}, {"--port", &port, NULL}, {"--topics", &topics, NULL}, {"--depth", &depth, NULL},
        {"--subject", NULL, &subject}, {"--path", NULL, &path}, {"--head", NULL, &head}, {"--body-head", NULL, &body_head},
        {"--body-tail", NULL, &body_tail}, {"--life-s", &life_s, NULL},
    };
    options(argc, argv, known, sizeof known / sizeof *known);
    while (dialect < HTTP && strcmp(dialect_name, DIALECTS[dialect])) dialect++;
    errno = 0;
    if (strcmp(dialect_name, DIALECTS[dialect])) die("--dialect is feed, lines, nats or http");
    if (!topics || (!port && dialect != FEED)) die("--port, --topics");
    bounded_life((unsigned)life_s);
    if (dialect == FEED) {
        int bound;
        listener = listen_on((int)port, &bound);
        printf("{\"event\":\"listening\",\"port\":%d}\n", bound);
        fflush(stdout);
    } else {
        connect_to_server();
    }
    run();
    return 0;
}
