#define _GNU_SOURCE
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * SECOND_NS + (uint64_t)time.tv_nsec;
}

uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

double cpu_s(void) { return (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / (double)SECOND_NS; }

void die(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, errno ? strerror(errno) : "refused");
    exit(1);
}

void bounded_life(unsigned life_s)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    alarm(life_s);
}

void options(int argc, char **argv, const struct option_of *known, size_t count)
{
    for (int i = 1; i < argc; i += 2) {
        size_t at = 0;
        while (at < count && strcmp(argv[i], known[at].name)) at++;
        errno = 0;
        if (at == count || i + 1 == argc) die(argv[i]);
        if (known[at].text) {
            *known[at].text = argv[i + 1];
        } else {
            char *end;
            *known[at].number = strtoull(argv[i + 1], &end, 10);
            if (*end || errno || end == argv[i + 1]) die(argv[i]);
        }
    }
}

size_t expand(char *out, size_t room, const char *pattern, uint32_t topic, uint32_t n)
{
    size_t at = 0;
    while (*pattern) {
        char value[16] = {pattern[0], 0};
        size_t taken = 1;
        if (!strncmp(pattern, "{topic}", 7)) {
            snprintf(value, sizeof value, "t%07u", topic);
            taken = 7;
        } else if (!strncmp(pattern, "{n}", 3)) {
            snprintf(value, sizeof value, "%u", n);
            taken = 3;
        }
        size_t bytes = strlen(value);
        if (at + bytes >= room) return 0;
        memcpy(out + at, value, bytes);
        at += bytes;
        pattern += taken;
    }
    out[at] = 0;
    return at;
}

void no_delay(int fd) { setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); }

struct sockaddr_in loopback(uint32_t last_byte, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + last_byte);
    return address;
}

int listen_on(int port, int *bound)
{
    struct sockaddr_in address = loopback(1, port);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4096)) die("listen");
    getsockname(fd, (struct sockaddr *)&address, &size);
    *bound = ntohs(address.sin_port);
    return fd;
}
