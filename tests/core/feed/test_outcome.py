"""Outcomes: what they carry, and what goes out in answer."""

from __future__ import annotations

from relayd.core.feed.outcome import Beat, Data, Frame, HttpRequest, Parts, Unknown


class OutcomeTests:
    """Values."""

    def test_data_is_answered_by_nothing(self) -> None:
        """`sends` is there on every outcome, so that nobody has to ask which it is."""
        data = Data(("t",), b"1", True)
        assert data.sends == () and (data.gap, data.snapshot, data.seq, data.missed, data.repair) == (
            False,
            False,
            None,
            None,
            "",
        )

    def test_parts_gather_answers_in_order(self) -> None:
        """Each part may have an answer of its own."""
        first, second = Frame(b"1"), Frame(b"2")
        parts = Parts((Beat(sends=(first,)), Unknown(), Beat(sends=(second,)), Data(("t",), b"", True)))
        assert parts.sends == (first, second)

    def test_a_request_hides_its_secrets_from_the_log(self) -> None:
        """Headers and body are not in its repr."""
        shown = repr(HttpRequest("PUT", "http://a", (("X-API-KEY", "geheim"),), b"geheim"))
        assert "geheim" not in shown and "PUT" in shown
