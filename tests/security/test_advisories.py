"""The published faults of other servers that relayd was held against, each with the tests that would find it here.

A row names what was published, and the tests in these files that reproduce it; a test of that name must be there.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

GUARD, AUTH, DELIVERY = "test_guard_advisories.py", "test_auth_advisories.py", "test_delivery_advisories.py"
ADDRESS, ORIGIN = "test_address_vectors.py", "test_origin_vectors.py"
IO_GUARD, IO_DOWNSTREAM = "../io/test_guard.py", "../io/test_downstream.py"

ADVISORIES: list[tuple[str, list[tuple[str, str]]]] = [
    ("Autobahn CVE-2026-77528", [(GUARD, "test_autobahn_cve_2026_77528_bomb")]),
    ("Autobahn issue 1908", [(GUARD, "test_autobahn_1908_limit_that_truncates")]),
    ("Autobahn CVE-2026-116579", [(GUARD, "test_autobahn_cve_2026_116579_brotli")]),
    ("Autobahn CVE-2020-35678", [(GUARD, "test_autobahn_cve_2020_35678_status_page_redirects")]),
    ("Crossbar issues 874, 583; Autobahn 1574", [(DELIVERY, "test_crossbar_874_a_subscriber_that_does_not_read")]),
    ("Magic Wormhole transit relay issue 25", [(DELIVERY, "test_transit_relay_25_a_paused_receiver")]),
    ("Twisted CVE-2024-41671, CVE-2023-46137", [(GUARD, "test_twisted_cve_2024_41671_pipelined_requests")]),
    ("Twisted CVE-2022-24801, CVE-2020-10108, -10109", [(GUARD, "test_twisted_cve_2022_24801_smuggling")]),
    (
        "Twisted CVE-2026-42304, issue 8868",
        [
            (DELIVERY, "test_twisted_cve_2026_42304_names_that_unpack_without_end"),
            (IO_GUARD, "test_an_answer_that_nobody_takes"),
        ],
    ),
    ("Twisted CVE-2022-39348, CVE-2024-41810", [(GUARD, "test_twisted_cve_2022_39348_host_in_the_error_page")]),
    ("ws CVE-2024-37890", [(GUARD, "test_ws_cve_2024_37890_more_headers_than_allowed")]),
    (
        "ws CVE-2026-48779, CVE-2026-62389",
        [
            (GUARD, "test_ws_cve_2026_48779_tiny_fragments"),
            (GUARD, "test_ws_cve_2026_62389_fragments_that_stay"),
        ],
    ),
    ("ws CVE-2026-45736", [(DELIVERY, "test_ws_cve_2026_45736_memory_that_was_never_written")]),
    (
        "ws CVE-2021-32640, websocket-extensions CVE-2020-7662",
        [(GUARD, "test_ws_cve_2021_32640_expressions_that_explode")],
    ),
    (
        "ws GHSA-5v72-xg48-5rpm, engine.io GHSA-gr94-w7qr-f4j3",
        [(GUARD, "test_ws_ghsa_5v72_names_that_mean_something_to_the_language")],
    ),
    (
        "websockets CVE-2018-1000518, NATS CVE-2026-27571, Bandit CVE-2026-39804, Centrifugo CVE-2026-62963 and more",
        [(GUARD, "test_autobahn_cve_2026_77528_bomb"), (IO_DOWNSTREAM, "test_no_extension")],
    ),
    (
        "aiohttp CVE-2026-123817, CVE-2026-54274",
        [
            (GUARD, "test_aiohttp_cve_2026_123817_one_object_per_read"),
            (GUARD, "test_aiohttp_cve_2026_54274_a_payload_that_stays_away"),
        ],
    ),
    (
        "aiohttp CVE-2026-69243, CVE-2026-59881",
        [
            (GUARD, "test_aiohttp_cve_2026_69243_upgrade_with_a_body"),
            (GUARD, "test_aiohttp_cve_2026_59881_compressed_without_agreement"),
        ],
    ),
    (
        "Bandit GHSA-pf94-94m9-536p, undici CVE-2026-9675",
        [
            (DELIVERY, "test_bandit_ghsa_pf94_continuations_without_an_end"),
            (DELIVERY, "test_undici_cve_2026_9675_continuations_from_a_server"),
        ],
    ),
    (
        "Phoenix CVE-2022-42975",
        [(GUARD, "test_phoenix_cve_2022_42975_wildcard_origins"), (ORIGIN, "test_refused")],
    ),
    (
        "Centrifugo CVE-2026-32301",
        [(AUTH, "test_cve_2026_32301_claims_in_the_url_of_the_keys"), (ADDRESS, "test_refused")],
    ),
    (
        "Centrifugo CVE-2026-71485",
        [
            (AUTH, "test_cve_2026_71485_headers_that_a_client_makes_up"),
            (GUARD, "test_centrifugo_cve_2026_71485_forged_forwarding"),
        ],
    ),
    (
        "engine.io CVE-2022-41940, CVE-2022-21676, CVE-2023-31125, CVE-2026-102599",
        [(GUARD, "test_engine_io_cve_2022_41940_one_crafted_packet")],
    ),
    (
        "socket.io-parser CVE-2023-32695, CVE-2020-36049",
        [(DELIVERY, "test_socket_io_parser_cve_2023_32695_a_crafted_packet")],
    ),
    (
        "gorilla CVE-2020-27813, undici CVE-2026-1528",
        [
            (GUARD, "test_gorilla_cve_2020_27813_lengths_that_overflow"),
            (DELIVERY, "test_undici_cve_2026_9675_continuations_from_a_server"),
        ],
    ),
    ("undici CVE-2026-2229", [(GUARD, "test_undici_cve_2026_2229_what_a_server_may_answer")]),
    ("Netty GHSA-4mp9-239f-g9hg", [(GUARD, "test_netty_ghsa_4mp9_old_versions")]),
    (
        "Tornado CVE-2025-67724, CVE-2023-28370, GHSA-qppv-j76h-2rpx",
        [
            (GUARD, "test_tornado_cve_2025_67724_reason_phrase"),
            (GUARD, "test_twisted_cve_2022_24801_smuggling"),
        ],
    ),
    (
        "websocket-driver CVE-2026-54465, CVE-2026-61666; Granian",
        [
            (GUARD, "test_websocket_driver_cve_2026_54465_memory_of_a_head"),
            (GUARD, "test_granian_subprotocol_beyond_ascii"),
        ],
    ),
    ("Cowboy CVE-2026-65624", [(GUARD, "test_ws_cve_2024_37890_more_headers_than_allowed")]),
    (
        "nchan issues 181, 529, 471, 488, 640",
        [
            (DELIVERY, "test_nchan_181_memory_for_each_message_and_connection"),
            (DELIVERY, "test_nchan_488_a_subscriber_that_stays_behind"),
        ],
    ),
    ("NATS issues 5394, 1597, 5156", [(DELIVERY, "test_nats_5394_one_slow_consumer_degrades_all")]),
    (
        "PyJWT CVE-2026-32597, -48523, -102273, -102274; python-jose CVE-2026-85394, CVE-2024-33663",
        [
            (AUTH, "test_cve_2026_32597_unknown_critical_headers"),
            (AUTH, "test_cve_2026_48523_the_list_of_algorithms_and_the_key"),
            (AUTH, "test_cve_2026_102273_errors_of_another_type"),
            (AUTH, "test_cve_2024_33663_public_key_as_secret"),
        ],
    ),
    ("Faye issue 363", [(DELIVERY, "test_faye_363_messages_that_are_gone_in_silence")]),
    ("Bun pull request 32705, libuv issue 690", [(DELIVERY, "test_bun_32705_accept_without_descriptors")]),
    ("aiohttp before 3.13.3: warnings about cookies", [(GUARD, "test_aiohttp_cookies_that_fill_the_log")]),
]


class AdvisoryTests:
    """The table is whole."""

    def test_count(self) -> None:
        """As many as the plan asks for."""
        assert len(ADVISORIES) >= 36

    @pytest.mark.parametrize(("published", "tests"), ADVISORIES, ids=[published for published, _ in ADVISORIES])
    def test_has_its_tests(self, published: str, tests: list[tuple[str, str]]) -> None:
        """Each test that a row names is there, and asserts something."""
        assert tests
        for file, name in tests:
            tree = ast.parse((Path(__file__).parent / file).read_text("utf-8"))
            found = [node for node in ast.walk(tree) if getattr(node, "name", None) == name]
            assert len(found) == 1, f"{published}: {file} has no test {name}"
            checks = [node for node in ast.walk(found[0]) if isinstance(node, ast.Assert | ast.With)]
            assert checks, f"{published}: {name} asserts nothing"
