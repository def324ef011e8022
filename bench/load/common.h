/* Clock, options and exits that the load generator, the publisher and the floor server share. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define SECOND_NS UINT64_C(1000000000)

uint64_t now_ns(void);    /* CLOCK_MONOTONIC: the same for all processes of a machine */
double cpu_s(void);       /* what this process has used */
void die(const char *what); /* with errno, exit status 1 */

/* Dies with its parent, and by itself after life_s: nothing of a benchmark outlives it. */
void bounded_life(unsigned life_s);

/* `--name value` pairs; die() with the name on an unknown one or a missing value. `number` or `text` is set, not both. */
struct option_of {
    const char *name;
    uint64_t *number;
    const char **text;
};
void options(int argc, char **argv, const struct option_of *known, size_t count);

/* `pattern` with each {topic} replaced by t and 7 digits and each {n} by n. Returns the length, or 0 if it does not fit. */
size_t expand(char *out, size_t room, const char *pattern, uint32_t topic, uint32_t n);

void no_delay(int fd);
struct sockaddr_in loopback(uint32_t last_byte, int port); /* 127.0.0.last_byte */
int listen_on(int port, int *bound);                       /* 127.0.0.1; port 0 = any; nonblocking */
#endif
