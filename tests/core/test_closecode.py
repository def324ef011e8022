from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core import closecode
from relayd.core.closecode import (
    BY_CODE,
    CLOSE_CODES,
    CLOSE_NO_PONG,
    CLOSE_RESTART,
    CLOSE_SLOW,
    REASON_BYTES_MAX,
    RETRY_S_MAX,
    CloseCode,
    reason,
)


class CloseCodeTests:
    """The table that tells a client why it was closed and whether to come back."""

    def test_codes_of_the_protocol(self) -> None:
        """The table holds exactly the codes that docs/protocol.md promises, in order."""
        assert [close.code for close in CLOSE_CODES] == [
            *(1000, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013),
            *(4005, 4008, 4010, 4011, 4012),
            *(4500, 4501, 4502, 4503, 4504, 4505),
        ]

    def test_every_constant_is_in_the_table(self) -> None:
        """A code that is defined but not listed would be missing from metrics and documentation."""
        constants = [value for value in vars(closecode).values() if isinstance(value, CloseCode)]
        assert sorted(c.code for c in constants) == sorted(c.code for c in CLOSE_CODES)

    def test_names_are_distinct_tokens(self) -> None:
        """Clients and metrics tell codes apart by name too."""
        names = [close.name for close in CLOSE_CODES]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)

    @pytest.mark.parametrize("close", [c for c in CLOSE_CODES if c.code >= 4000], ids=lambda c: c.name)
    def test_private_ranges_say_whether_to_come_back(self, close: CloseCode) -> None:
        """4000-4499 come back, 4500-4999 do not come back as they are."""
        assert close.may_come_back == (close.code < 4500)

    @pytest.mark.parametrize(
        ("code", "comes_back"), [(1000, False), (1002, False), (1008, True), (1012, True), (1013, True)]
    )
    def test_standard_codes_are_decided_by_the_table(self, code: int, comes_back: bool) -> None:
        """RFC 6455 says nothing about coming back, the table does."""
        assert BY_CODE[code].may_come_back is comes_back

    def test_no_code_that_must_not_be_sent(self) -> None:
        """1004, 1005, 1006 and 1015 never stand in a frame; 1010 is the client's (RFC 6455 7.4.1)."""
        assert not {1004, 1005, 1006, 1010, 1015} & set(BY_CODE)


class ReasonTests:
    """The text of a close frame."""

    def test_name_alone(self) -> None:
        """Without a hint the reason is the name."""
        assert reason(CLOSE_SLOW) == "slow"

    def test_name_and_hint(self) -> None:
        """A hint stands in whole seconds, zero included."""
        assert reason(CLOSE_RESTART, 7) == "restart; retry=7"
        assert reason(CLOSE_NO_PONG, 0) == "no-pong; retry=0"

    @pytest.mark.parametrize("retry_s", [-1, RETRY_S_MAX + 1])
    def test_hint_out_of_bounds(self, retry_s: int) -> None:
        """A hint that makes no sense is our own mistake and is named."""
        with pytest.raises(ValueError, match=f"retry_s is {retry_s}, expected 0 to 86400 seconds"):
            reason(CLOSE_RESTART, retry_s)

    @given(st.sampled_from(CLOSE_CODES), st.none() | st.integers(0, RETRY_S_MAX))
    def test_fits_a_control_frame(self, close: CloseCode, retry_s: int | None) -> None:
        """Every reason is ASCII of at most 123 bytes."""
        assert len(reason(close, retry_s).encode("ascii")) <= REASON_BYTES_MAX
