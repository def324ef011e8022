/* The load generator: many WebSocket clients in one process, one epoll loop, asleep when nothing happens.
 *
 * It speaks lines. On stdout, one JSON object each: `ready` when every connection is subscribed (or has failed), and the answers
 * to what it reads on stdin:
 *   begin        start a measuring window: counters and latencies from zero     -> {"event":"begun"}
 *   end          the window is over                                             -> {"event":"window", ...}
 *   finish N MS  N messages were published in all, round robin over the topics; wait at most MS until all have arrived, then
 *                settle: what was lost, doubled, reordered, corrupt             -> {"event":"final", ...}
 *   quit         (or the end of stdin)
 *
 * Between two looks at its sockets it sleeps for --coalesce-us, as a network card does between two interrupts. Without that, a
 * server whose send() is slower than this program's recv() finds it asleep at every message and pays for waking it, on its own
 * core, which no server with a network between pays, and a faster one does not: a step of 1.3 us in the middle of the scale.
 */
#define _GNU_SOURCE
#include "client.h"
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 19000u /* a process may hold 20,000 descriptors where this was written; some are its own */
#define HANDSHAKES_MAX 64u     /* under way at once: below any listen backlog, and half of what relayd lets two addresses have */
#define CONNECT_WITHIN_NS (60 * SECOND_NS)
#define SLOW_RECEIVE_BYTES 2048 /* SO_RCVBUF of those who read slowly or never: the kernel makes 4,608 bytes of it or so */
#define EVENTS 512
#define STDIN_TAG UINT32_MAX
#define SWEEPS 100 /* slow readers take turns in this many groups per period */

static struct load load = {
    .host = "127.0.0.1", .path = "/", .protocol = "", .subscribe_head = "", .subscribe_each = "", .subscribe_between = ",",
    .subscribe_tail = "", .ready = "", .reply_to = "", .reply_with = "", .topics = 1, .topics_each = 1, .seed = 1,
};
static uint64_t connections = 1, never_permille, slow_permille, slow_bytes = 2048, slow_every_ms = 5000;
static uint64_t sources = 1, first_source = 2, life_s = 600, coalesce_us = 100;

static struct client *clients;
static int poller;
static uint32_t opened, shaking, ready, failed, closed_readers, closed_others;
static uint64_t started_ns, window_ns, first_other_closed_ns, last_other_closed_ns;
static double window_cpu_s;
static struct tally window_tally;
static uint64_t window_bytes, window_reads, window_pings;
static int announced;

static enum client_kind kind_of(uint32_t index)
{
    uint32_t slot = (index * 617u) % 1000; /* 617 and 1,000 share no factor: the shares come out exactly, spread evenly */
    return slot < never_permille ? NEVER_READER : slot < never_permille + slow_permille ? SLOW_READER : READER;
}

static void watch(struct client *client, uint32_t events, int how)
{
    struct epoll_event event = {.events = events, .data.u32 = client->index};
    if (epoll_ctl(poller, how, client->fd, &event)) die("epoll_ctl");
}

static void close_client(struct client *client)
{
    uint64_t now = now_ns();
    close(client->fd);
    if (client->state != READY) {
        shaking--;
        failed++;
    } else if (client->kind == READER) {
        closed_readers++;
    } else {
        closed_others++;
        if (!first_other_closed_ns) first_other_closed_ns = now;
        last_other_closed_ns = now;
    }
    client->closed_ns = now;
    client->state = CLOSED;
}

static void open_client(struct client *client)
{
    client->kind = (uint8_t)kind_of(client->index);
    client->close_code = 1006;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0) die("socket");
    if (client->kind != READER) /* so that a sip is felt at the other end, and what is never read stays there */
        setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &(int){SLOW_RECEIVE_BYTES}, sizeof(int));
    struct sockaddr_in from = loopback((uint32_t)(first_source + client->index % sources), 0);
    struct sockaddr_in to = loopback(1, (int)load.port);
    setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
    if (bind(client->fd, (struct sockaddr *)&from, sizeof from)) die("bind");
    if (connect(client->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) die("connect");
    client->state = CONNECTING;
    shaking++;
    watch(client, EPOLLOUT, EPOLL_CTL_ADD);
}

static void socket_ready(struct client *client, uint32_t events)
{
    if (client->state == CLOSED) return;
    if (client->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error || events & (EPOLLERR | EPOLLHUP)) {
            close_client(client);
            return;
        }
        client_connected(client, &load);
        watch(client, EPOLLIN, EPOLL_CTL_MOD);
        return;
    }
    if (client->kind != READER && client->state == READY) {
        close_client(client); /* it asked for hang-ups only */
        return;
    }
    uint8_t before = client->state;
    int goes_on = client_readable(client, &load);
    if (before != READY && client->state == READY) {
        shaking--;
        ready++;
        if (client->kind != READER && goes_on) watch(client, EPOLLRDHUP, EPOLL_CTL_MOD);
    }
    if (!goes_on) close_client(client);
}

static uint64_t count_of(uint64_t published, uint32_t topic) /* round robin: the first topics may have one more */
{
    return published / load.topics + (topic < published % load.topics);
}

/* Messages that the readers still connected should have had of the `published` ones, and how many streams lack the last. */
static uint64_t expected(uint64_t published, uint64_t *unfinished)
{
    uint64_t sum = 0;
    *unfinished = 0;
    for (uint32_t i = 0; i < opened; i++) {
        const struct client *client = &clients[i];
        if (client->kind != READER || client->state != READY) continue;
        for (uint32_t slot = 0; slot < client->slots; slot++) {
            if (!client->taken[slot]) continue;
            uint64_t count = count_of(published, client->stream[slot].topic);
            sum += count;
            *unfinished += client->stream[slot].next < count;
        }
    }
    return sum;
}

static void begin(void)
{
    histogram_clear(&load.latency);
    window_tally = load.tally;
    window_bytes = load.bytes, window_reads = load.reads, window_pings = load.pings;
    window_cpu_s = cpu_s();
    window_ns = now_ns();
    printf("{\"event\":\"begun\",\"ns\":%" PRIu64 "}\n", window_ns);
}

static void end(void)
{
    double seconds = (double)(now_ns() - window_ns) / 1e9;
    printf("{\"event\":\"window\",\"seconds\":%.6f,\"cpu_s\":%.6f,\"delivered\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"reads\":%" PRIu64
           ",\"pings\":%" PRIu64 ",\"skipped\":%" PRId64 ",\"latency_ns\":",
           seconds, cpu_s() - window_cpu_s, load.tally.delivered - window_tally.delivered, load.bytes - window_bytes,
           load.reads - window_reads, load.pings - window_pings, (int64_t)(load.tally.skipped - window_tally.skipped));
    histogram_print(&load.latency, stdout);
    printf("}\n");
}

static void print_codes(void)
{
    uint32_t codes[64][2], used = 0;
    for (uint32_t i = 0; i < opened; i++) {
        if (clients[i].state != CLOSED) continue;
        uint32_t at = 0;
        while (at < used && codes[at][0] != clients[i].close_code) at++;
        if (at == 64) continue;
        if (at == used) codes[used][0] = clients[i].close_code, codes[used++][1] = 0;
        codes[at][1]++;
    }
    for (uint32_t at = 0; at < used; at++) printf("%s\"%u\":%u", at ? "," : "", codes[at][0], codes[at][1]);
}

static void final(uint64_t published)
{
    uint64_t unfinished, due = expected(published, &unfinished);
    printf("{\"event\":\"final\",\"expected\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"lost\":%" PRId64 ",\"unfinished\":%" PRIu64
           ",\"late\":%" PRIu64 ",\"doubled\":%" PRIu64 ",\"stranger\":%" PRIu64 ",\"corrupt\":%" PRIu64 ",\"pings\":%" PRIu64
           ",\"dropped_writes\":%" PRIu64 ",\"closed_readers\":%u,\"closed_others\":%u,\"first_other_closed_ns\":%" PRIu64
           ",\"last_other_closed_ns\":%" PRIu64 ",\"controls\":[",
           due, load.tally.delivered, (int64_t)(due - load.tally.delivered), unfinished, load.tally.late, load.tally.doubled,
           load.tally.stranger, load.tally.corrupt, load.pings, load.dropped_writes, closed_readers, closed_others,
           first_other_closed_ns, last_other_closed_ns);
    for (int i = 0; i < CONTROLS_MAX && load.control[i]; i++) printf("%s%" PRIu64, i ? "," : "", load.controls[i]);
    printf("],\"close_codes\":{");
    print_codes();
    printf("}}\n");
}

static uint64_t finish_count, finish_until_ns; /* a `finish` under way, 0 = none */

/* One line of stdin; 0 to quit. */
static int command(const char *line)
{
    uint64_t within_ms;
    if (!strcmp(line, "begin")) {
        begin();
    } else if (!strcmp(line, "end")) {
        end();
    } else if (sscanf(line, "finish %" SCNu64 " %" SCNu64, &finish_count, &within_ms) == 2) {
        finish_until_ns = now_ns() + within_ms * (SECOND_NS / 1000);
    } else {
        return 0;
    }
    fflush(stdout);
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

/* Slow readers of this group take their sip. */
static void sweep(uint64_t now)
{
    static uint64_t next_ns;
    static uint32_t group;
    if (!slow_permille || now < next_ns) return;
    next_ns = now + slow_every_ms * (SECOND_NS / 1000) / SWEEPS;
    for (uint32_t i = group; i < opened; i += SWEEPS)
        if (clients[i].kind == SLOW_READER && clients[i].state == READY && !client_sip(&clients[i], &load, slow_bytes))
            close_client(&clients[i]);
    group = (group + 1) % SWEEPS;
}

static void progress(uint64_t now)
{
    while (opened < connections && shaking < HANDSHAKES_MAX) open_client(&clients[opened++]);
    if (!announced && (ready + failed == connections || now - started_ns > CONNECT_WITHIN_NS)) {
        announced = 1;
        printf("{\"event\":\"ready\",\"connections\":%u,\"failed\":%u,\"seconds\":%.6f}\n", ready,
               (uint32_t)connections - ready, (double)(now - started_ns) / 1e9);
        fflush(stdout);
    }
    if (finish_until_ns) {
        uint64_t unfinished;
        expected(finish_count, &unfinished);
        if (unfinished && now < finish_until_ns) return;
        finish_until_ns = 0;
        final(finish_count);
        fflush(stdout);
    }
}

static int wait_ms(void) { return finish_until_ns ? 20 : slow_permille ? 5 : announced ? -1 : 200; }

static void run(void)
{
    struct epoll_event events[EVENTS], input = {.events = EPOLLIN, .data.u32 = STDIN_TAG};
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &input)) die("epoll");
    prctl(PR_SET_TIMERSLACK, 1000);
    const struct timespec pause = {0, (long)coalesce_us * 1000};
    int busy = 0;
    started_ns = now_ns();
    for (int goes_on = 1; goes_on;) {
        uint64_t now = now_ns();
        progress(now);
        sweep(now);
        if (busy && coalesce_us) clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        int count = epoll_wait(poller, events, EVENTS, wait_ms());
        busy = announced && count > 0 && count < EVENTS;
        for (int i = 0; i < count; i++) {
            if (events[i].data.u32 == STDIN_TAG)
                goes_on &= stdin_ready();
            else
                socket_ready(&clients[events[i].data.u32], events[i].events);
        }
    }
}

int main(int argc, char **argv)
{
    const char *dialect = "frames";
    const struct option_of known[] = {
        {"--host", NULL, &load.host}, {"--port", &load.port, NULL}, {"--path", NULL, &load.path},
        {"--protocol", NULL, &load.protocol}, {"--dialect", NULL, &dialect}, {"--binary", &load.binary, NULL},
        {"--subscribe-head", NULL, &load.subscribe_head}, {"--subscribe-each", NULL, &load.subscribe_each},
        {"--subscribe-between", NULL, &load.subscribe_between}, {"--subscribe-tail", NULL, &load.subscribe_tail},
        {"--ready", NULL, &load.ready}, {"--reply-to", NULL, &load.reply_to}, {"--reply-with", NULL, &load.reply_with},
        {"--control0", NULL, &load.control[0]}, {"--control1", NULL, &load.control[1]}, {"--control2", NULL, &load.control[2]},
        {"--control3", NULL, &load.control[3]}, {"--control4", NULL, &load.control[4]}, {"--control5", NULL, &load.control[5]},
        {"--topics", &load.topics, NULL}, {"--topics-each", &load.topics_each, NULL}, {"--seed", &load.seed, NULL},
        {"--connections", &connections, NULL}, {"--never-permille", &never_permille, NULL},
        {"--slow-permille", &slow_permille, NULL}, {"--slow-bytes", &slow_bytes, NULL},
        {"--slow-every-ms", &slow_every_ms, NULL}, {"--sources", &sources, NULL}, {"--first-source", &first_source, NULL},
        {"--life-s", &life_s, NULL}, {"--coalesce-us", &coalesce_us, NULL},
    };
    options(argc, argv, known, sizeof known / sizeof *known);
    errno = 0;
    if (!load.port || !connections || connections > CONNECTIONS_MAX || !sources || !load.topics) die("--port, --connections, --topics");
    if (!strcmp(dialect, "lines")) load.dialect = LINES;
    else if (!strcmp(dialect, "nats")) load.dialect = NATS;
    else if (strcmp(dialect, "frames")) die("--dialect is frames, lines or nats");
    bounded_life((unsigned)life_s);
    clients = calloc(connections, sizeof *clients);
    if (!clients) die("memory");
    for (uint32_t i = 0; i < connections; i++) {
        clients[i].index = i;
        client_subscribes_to(&clients[i], &load);
    }
    run();
    for (uint32_t i = 0; i < connections; i++) client_free(&clients[i]);
    return 0;
}
