#include "sequence.h"

#include <string.h>

static void remember(struct stream *stream, uint64_t from, uint64_t to)
{
    if (stream->holes == HOLES_MAX) {
        memmove(&stream->hole[0], &stream->hole[1], sizeof stream->hole[0] * (HOLES_MAX - 1));
        stream->holes--;
    }
    stream->hole[stream->holes].from = from;
    stream->hole[stream->holes].to = to;
    stream->holes++;
}

static int fills_hole(struct stream *stream, uint64_t sequence)
{
    for (uint32_t i = stream->holes; i-- > 0;) {
        uint64_t from = stream->hole[i].from, to = stream->hole[i].to;
        if (sequence < from || sequence >= to) continue;
        memmove(&stream->hole[i], &stream->hole[i + 1], sizeof stream->hole[0] * (stream->holes - i - 1));
        stream->holes--;
        if (from < sequence) remember(stream, from, sequence);
        if (sequence + 1 < to) remember(stream, sequence + 1, to);
        return 1;
    }
    return 0;
}

void sequence_take(struct stream *stream, uint64_t sequence, struct tally *tally)
{
    if (stream->first == stream->next) stream->first = stream->next = sequence;
    if (sequence >= stream->next) {
        if (sequence > stream->next) {
            tally->skipped += sequence - stream->next;
            remember(stream, stream->next, sequence);
        }
        stream->next = sequence + 1;
        tally->delivered++;
    } else if (fills_hole(stream, sequence)) {
        tally->skipped--;
        tally->late++;
        tally->delivered++;
    } else {
        tally->doubled++;
    }
}
