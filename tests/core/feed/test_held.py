"""Messages that wait for their id to be told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed.decode import JSON, Message
from relayd.core.feed.fields import Reading
from relayd.core.feed.held import MAX_HELD, MAX_HELD_BYTES, HeldMessage, HeldMessages
from relayd.core.feed.path import Scope


def held(bound: str, payload: bytes = b"x") -> HeldMessage:
    """A message under this id."""
    return HeldMessage(Message(payload, True, JSON, Scope(None)), Reading(({},), bound), (False, None))


class HeldMessagesTests:
    """Holding and releasing."""

    def test_released_in_order(self) -> None:
        """Those of the id that was told, and only once."""
        waiting = HeldMessages()
        for bound, payload in (("1", b"a"), ("2", b"b"), ("1", b"c")):
            assert waiting.hold(held(bound, payload))
        released, short = waiting.release("1")
        assert [one.message.payload for one in released] == [b"a", b"c"] and not short
        assert waiting.release("1") == ([], False) and len(waiting) == 1

    def test_64_messages(self) -> None:
        """The first ones are kept: the snapshot is among them. Who is bound later is told of the loss."""
        waiting = HeldMessages()
        assert all(waiting.hold(held("1")) for _ in range(MAX_HELD))
        assert not waiting.hold(held("2")) and waiting.dropped == 1
        assert waiting.release("1")[1] and waiting.release("2") == ([], True)
        assert waiting.hold(held("2"))

    def test_1_mib(self) -> None:
        """Bytes count too, and are given back."""
        waiting = HeldMessages()
        assert waiting.hold(held("1", b"x" * (MAX_HELD_BYTES - 1)))
        assert not waiting.hold(held("1", b"xx")) and waiting.hold(held("1", b"x"))
        waiting.release("1")
        assert waiting.hold(held("1", b"x" * MAX_HELD_BYTES))

    def test_given_up(self) -> None:
        """What nobody asks for any more is counted."""
        waiting = HeldMessages()
        waiting.hold(held("1", b"x" * MAX_HELD_BYTES))
        waiting.hold(held("1"))
        waiting.give_up()
        assert waiting.dropped == 2 and len(waiting) == 0 and waiting.release("1") == ([], False)
        assert waiting.hold(held("1", b"x" * MAX_HELD_BYTES))

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, MAX_HELD_BYTES // 2)), max_size=200))
    def test_bounds_and_accounts(self, steps: list[tuple[str, int]]) -> None:
        """Never more than the bounds; every message is waiting, released or dropped."""
        waiting, kept, released = HeldMessages(), 0, 0
        for bound, size in steps:
            if size % 7 == 0:
                released += len(waiting.release(bound)[0])
            else:
                kept += waiting.hold(held(bound, bytes(size)))
            assert len(waiting) <= MAX_HELD
            assert len(waiting) == kept - released
