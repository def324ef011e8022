/* Latencies in log-linear buckets, as HdrHistogram does it: 128 linear steps in every power of two, so a value read back is
 * at most 0.8 % above the one recorded, in constant memory and without a branch on the size of the value. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H
#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_STEP_BITS 7
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS)

struct histogram {
    uint64_t count[HISTOGRAM_BUCKETS];
};

void histogram_clear(struct histogram *histogram);
void histogram_add(struct histogram *histogram, uint64_t value);
uint64_t histogram_top(unsigned bucket);

/* [[largest value of the bucket, count], ...], the empty buckets left out, as JSON. */
void histogram_print(const struct histogram *histogram, FILE *out);
#endif
