#include "histogram.h"

#include <inttypes.h>
#include <string.h>

#define STEPS (1u << HISTOGRAM_STEP_BITS)

void histogram_clear(struct histogram *histogram) { memset(histogram, 0, sizeof *histogram); }

void histogram_add(struct histogram *histogram, uint64_t value)
{
    if (value < STEPS) {
        histogram->count[value]++;
        return;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
    histogram->count[((shift + 1) << HISTOGRAM_STEP_BITS) + (unsigned)(value >> shift) - STEPS]++;
}

uint64_t histogram_top(unsigned bucket)
{
    if (bucket < STEPS) return bucket;
    unsigned shift = (bucket >> HISTOGRAM_STEP_BITS) - 1;
    uint64_t step = (bucket & (STEPS - 1)) + STEPS;
    return (step << shift) + ((uint64_t)1 << shift) - 1;
}

void histogram_print(const struct histogram *histogram, FILE *out)
{
    const char *comma = "";
    fputc('[', out);
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        if (!histogram->count[bucket]) continue;
        fprintf(out, "%s[%" PRIu64 ",%" PRIu64 "]", comma, histogram_top(bucket), histogram->count[bucket]);
        comma = ",";
    }
    fputc(']', out);
}
