"""The table of all scenarios: what a good client does, by name."""

from __future__ import annotations

from typing import Final

from relayd.clienttest import coming_back, options, reading
from relayd.clienttest.coming_back import closed, ended
from relayd.clienttest.stage import PATTERN, Scenario

SCENARIOS: Final[tuple[Scenario, ...]] = (
    Scenario("resumes", "after a cut, subscribes with the offset it had last", reading.resumes_where_it_stood),
    Scenario("pending", "a topic without data is resumed from 0, or begun", reading.nothing_came),
    Scenario("gap", "goes on after a loss in the stream", reading.gap),
    Scenario("gap-at-end", "a loss with nothing after it confuses nobody", reading.gap_at_the_end),
    Scenario("lost-null", "takes a loss without a count", reading.lost_null),
    Scenario("rate", "takes jumps of a conflated topic, and late totals", reading.rate),
    Scenario("too-late", "takes a snapshot and its changes after a loss", reading.too_late),
    Scenario("epoch", "forgets its numbers when relayd numbers anew", reading.epoch),
    Scenario("colons", "takes the offset from behind the last colon", reading.colons),
    Scenario("splits", "reads frames in single bytes, and fragments", reading.splits),
    Scenario("unknown", "ignores ops, keys and words it does not know", reading.unknown),
    Scenario("payloads", "takes text, base64, null, and data that looks like an op", reading.payloads),
    Scenario("large", "takes 2 MiB at once, and a burst of 2,000", reading.large),
    Scenario("states", "leaves the state of a feed to relayd", reading.states),
    Scenario("late-answer", "asks once, also when the answer is late", reading.late_answer),
    Scenario("refused-topic", "does not ask again for what was refused", reading.refused_topic, may_end=True),
    Scenario("parts", "takes an answer in parts", reading.parts, topic=PATTERN),
    Scenario("met-later", "takes topics that a pattern meets later", reading.met_later, topic=PATTERN),
    Scenario("drops", "comes back with jitter when connections end at once", coming_back.drops, within_s=80),
    Scenario("503", "comes back with jitter when handshakes are refused", coming_back.refused_handshakes, within_s=80),
    Scenario("hung", "gives up a handshake that is not answered", coming_back.hung_handshake, within_s=60),
    Scenario("restart", "1012: comes back, not before the hint", closed(1012, "restart; retry=2", after_s=2)),
    Scenario("overloaded", "1013: comes back, not before the hint", closed(1013, "overloaded; retry=1", after_s=1)),
    Scenario("slow", "4008: comes back", closed(4008, "slow")),
    Scenario("unknown-4321", "4321, of a later version: comes back", closed(4321, "later; retry=1", after_s=1)),
    Scenario("done", "1000: stays away", ended(1000, "done"), may_end=True),
    Scenario("bad-token", "4500: stays away", coming_back.after_refusal, may_end=True),
    Scenario("forbidden", "4503: stays away", ended(4503, "forbidden"), may_end=True),
    Scenario("unknown-4789", "4789, of a later version: stays away", ended(4789, "later"), may_end=True),
    Scenario("slow-close", "does not wait for ever for the end of a closed connection", coming_back.slow_close),
    Scenario("silence", "notices that nothing comes any more", coming_back.silence, within_s=75),
    Scenario("pings", "answers pings, with their payload", coming_back.answers_pings),
    Scenario("token-first", "shows its token first, and waits", coming_back.token_first, needs_token=True),
    Scenario("token-expired", "4005: comes back and shows a token", coming_back.token_expired, needs_token=True),
    Scenario("window", "acknowledges what it has processed, in time", options.window),
    Scenario("binary", "reads binary frames by their reference", options.binary),
    Scenario("published", "publishes once", options.published, publishes=True),
    Scenario("publish-refused", "does not repeat what was refused", options.publish_refused, publishes=True),
    Scenario("publish-lost", "leaves to its user what may have been published", options.publish_lost, publishes=True),
)

BY_NAME: Final = {scenario.name: scenario for scenario in SCENARIOS}
