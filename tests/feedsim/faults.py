"""What people report of feeds, and where each fault is produced and what is said of it here shown."""

from __future__ import annotations

from dataclasses import dataclass

SIM = "tests/feedsim/test_faults.py::"
ASK = "tests/feedsim/test_asking.py::"
CORE = "tests/core/upstream/test_session.py::"
STREAMS = "tests/feedsim/test_streams.py::StreamTests::"
IO = "tests/io/test_upstream.py::"


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table of faults."""

    name: str
    behaviour: str
    tests: tuple[str, ...]


FAULTS = (
    Fault(
        "open but silent",
        "two watchdogs, of any frame and of data; pongs and beats are no data; hours in which silence is normal; "
        "browsers are told of a late topic; the connection is cut, not asked to close",
        (
            SIM + "SilenceTests::test_nothing_at_all",
            SIM + "SilenceTests::test_beats_are_no_data",
            SIM + "SilenceTests::test_a_heartbeat_without_an_answer",
            SIM + "SilenceTests::test_browsers_are_told_of_a_late_topic",
            CORE + "DeadlineTests::test_silence_of_data",
        ),
    ),
    Fault(
        "accepted, and dropped in seconds",
        "full jitter from 1 s to 60 s, reset only by data that lasts; the HTTP steps are inside it; five in a row are "
        "an alarm: a metric, a line in the log, and what browsers are told",
        (
            SIM + "StormTests::test_backoff_and_its_steps",
            SIM + "StormTests::test_an_alarm",
            CORE + "LossTests::test_delays_grow_until_a_session_settles",
        ),
    ),
    Fault(
        "banned for being too fast",
        "strict sliding windows for dials, frames, subscriptions and requests, pongs and resubscribes included, shared "
        "per host and kept over a crash; Retry-After is obeyed",
        (
            SIM + "LimitTests::test_no_window_of_frames_holds_more",
            SIM + "LimitTests::test_retry_after",
            ASK + "PaceTests::test_connects",
            ASK + "PaceTests::test_subscribes",
            ASK + "PaceTests::test_requests",
            "tests/core/test_windows.py::SharingTests::test_two_limits_over_one_history",
            "tests/core/test_kept.py::WindowTests::test_a_crash_loop_keeps_the_limit",
            "tests/e2e/test_state.py::CrashLoopTests::test_two_dials_in_three_lives",
        ),
    ),
    Fault(
        "part of a batch fails",
        "a state for each topic; failures without a name are found by halving; no answer in time is a failure; "
        "the browsers of that topic alone are told why",
        (
            SIM + "PartialFailureTests::test_one_of_a_batch_is_named",
            SIM + "PartialFailureTests::test_a_batch_fails_and_nobody_says_which",
            SIM + "PartialFailureTests::test_a_reply_names_those_that_were_taken",
            SIM + "PartialFailureTests::test_no_ack_at_all",
            SIM + "PartialFailureTests::test_acks_that_come_backwards_and_twice",
            SIM + "PartialFailureTests::test_revoked_after_the_ack",
            SIM + "PartialFailureTests::test_more_than_the_feed_takes",
            "tests/feedsim/test_fleet.py::ManyTopicsTests::test_as_many_as_are_allowed",
        ),
    ),
    Fault(
        "subscriptions are lost on a reconnect",
        "the wanted set is the only truth",
        (
            SIM + "WantedSetTests::test_the_wanted_set_is_the_only_truth",
            CORE + "LossTests::test_all_that_is_wanted_is_subscribed_again",
        ),
    ),
    Fault(
        "messages are missing",
        "a mark in the stream, in its place; then what the file asks for",
        (
            SIM + "GapTests::test_a_message_is_missing",
            SIM + "GapTests::test_every_new_connection_is_marked",
            SIM + "GapTests::test_asked_for_anew",
            SIM + "GapTests::test_a_counter_of_the_connection",
            SIM + "GarbageTests::test_an_end_inside_a_frame",
            "tests/feedsim/test_books.py::FetchedSnapshotTests::test_a_missing_delta",
        ),
    ),
    Fault(
        "gaps that are none",
        "a smaller number, a new connection and a snapshot are a new start; three repairs in 5 min, then marks only",
        (
            SIM + "GapTests::test_a_counter_begins_again",
            SIM + "GapTests::test_a_message_twice",
            SIM + "GapTests::test_asked_for_anew",
        ),
    ),
    Fault(
        "a stale token",
        "fetched at each dial, or kept until it is refused; a failed fetch is never kept",
        (
            SIM + "TokenTests::test_a_token_for_each_attempt",
            SIM + "TokenTests::test_a_failed_fetch_is_not_kept",
            SIM + "TokenTests::test_kept_until_refused",
        ),
    ),
    Fault(
        "the login is refused",
        "told to the browsers; again after 5, 10, 20 min; what is sent holds the upstream's time, and a difference of "
        "more than 2 s is told",
        (
            SIM + "ClockTests::test_the_clock_of_the_upstream",
            SIM + "LoginTests::test_refused",
            SIM + "LoginTests::test_a_close_code_that_says_stop",
            CORE + "RefusalTests::test_login_refused",
        ),
    ),
    Fault(
        "one slot, two owners",
        "a long pause where the file, or what the feed says, asks for it, and an alarm that names the likely cause; "
        "the old connection is gone before the new one is opened",
        (
            SIM + "OneSlotTests::test_thrown_out_by_another",
            SIM + "OneSlotTests::test_its_words_tell",
            SIM + "OneSlotTests::test_the_old_connection_is_gone_first",
        ),
    ),
    Fault(
        "slow consumers are cut",
        "the upstream never waits for browsers; of a burst only the ring keeps anything",
        (
            SIM + "BurstTests::test_the_upstream_never_waits_for_browsers",
            SIM + "BurstTests::test_memory_grows_by_the_ring_alone",
        ),
    ),
    Fault(
        "a planned close",
        "relayd goes when told to, and by age before it is thrown out; a new connection takes over, topic by topic, "
        "before the old one ends; a mark only where there is room for one connection, or the two streams do not meet",
        (
            "tests/feedsim/test_fleet.py::DrainTests::test_binance",
            "tests/feedsim/test_fleet.py::DrainTests::test_okx",
            "tests/feedsim/test_fleet.py::DrainTests::test_to_another_address",
            "tests/feedsim/test_fleet.py::DrainTests::test_by_age",
            "tests/feedsim/test_fleet.py::CursorTests::test_by_age",
            "tests/feedsim/test_fleet.py::CursorTests::test_the_old_one_is_cut_first",
            "tests/feedsim/test_fleet.py::ManyTopicsTests::test_while_one_takes_over",
            SIM + "PlannedCloseTests::test_binance",
            SIM + "PlannedCloseTests::test_bitstamp",
            SIM + "PlannedCloseTests::test_okx",
            SIM + "PlannedCloseTests::test_bitfinex",
            ASK + "AgeTests::test_max_age",
        ),
    ),
    Fault(
        "the handshake hangs, is a page, leads elsewhere, or brings the first frame with it",
        "a deadline; the page's beginning is told; no redirect is followed; nothing is lost",
        (
            SIM + "HandshakeTests::test_never_answered",
            SIM + "HandshakeTests::test_a_page_in_place_of_the_handshake",
            SIM + "HandshakeTests::test_a_redirect_is_not_followed",
            SIM + "HandshakeTests::test_the_first_frame_in_the_segment_of_the_answer",
            IO + "RefusedHandshakeTests::test_503_with_a_page_that_never_ends",
        ),
    ),
    Fault(
        "an event stream cut anywhere, ended, refused, or no stream at all",
        "every event whole, in its place; `retry:` and Retry-After are obeyed; comments are signs of life, not data",
        (
            STREAMS + "test_chunks_cut_inside_a_line",
            STREAMS + "test_chunks_cut_between_the_ends_of_a_line",
            STREAMS + "test_lines_that_end_with_cr",
            STREAMS + "test_too_many_connections",
            STREAMS + "test_a_pause_that_the_feed_asks_for",
            STREAMS + "test_comments_are_beats",
            STREAMS + "test_another_page",
            "tests/io/test_upstream_stream.py::EndTests::test_statuses",
        ),
    ),
    Fault(
        "subscribe and unsubscribe race",
        "linger; an unsubscribe never overtakes",
        (SIM + "HandshakeTests::test_unsubscribe_does_not_overtake",),
    ),
    Fault(
        "frames that nobody documented",
        "counted, and no harm to the next one; bad UTF-8 and what is too large end the connection",
        (
            SIM + "GarbageTests::test_odd_messages_are_counted_and_do_no_harm",
            SIM + "GarbageTests::test_fragments",
            SIM + "GarbageTests::test_not_utf8_and_too_large",
            IO + "EndedConnectionTests::test_bad_utf8",
            IO + "EndedConnectionTests::test_too_large",
        ),
    ),
)
