"""The question to the user's own server."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.auth import webhook as module
from relayd.core.auth.credentials import Credential
from relayd.core.auth.verdict import Denied, Identity, Unavailable, Verdict, Why
from relayd.core.auth.webhook import MAX_ANSWER_BYTES, OnFailure, Question, Webhook, question, read_answer

FAILED = Unavailable("auth.webhook")
WALL = 1000.0


def shown(cookie: str = "a=1", **headers: str) -> Credential:
    """A request with a cookie."""
    return Credential(None, (("cookie", cookie), *headers.items()), "192.0.2.1", "/ws")


class Rig:
    """A webhook and its clock."""

    def __init__(self, cache_s: float = 30.0, on_failure: OnFailure = OnFailure.REFUSE) -> None:
        self.now = 50.0
        self.wall = WALL
        self.keys: list[bytes] = []
        self.verdicts: list[Verdict] = []
        self.webhook = Webhook(
            lambda key, _: self.keys.append(key),
            cache_s=cache_s,
            on_failure=on_failure,
            monotonic=lambda: self.now,
            wall=lambda: self.wall,
        )

    def ask(self, credential: Credential) -> None:
        """Somebody comes."""
        self.webhook.ask(credential, self.verdicts.append)

    def answer(self, status: int = 200, body: bytes = b'{"sub":"alice"}') -> None:
        """The newest question is answered."""
        self.webhook.answered(self.keys[-1], status, body)


class QuestionTests:
    """What is asked."""

    def test_question(self) -> None:
        """The browser's headers, and what the browser cannot say of itself."""
        asked = question(shown())
        assert asked == Question((("cookie", "a=1"),), b'{"path":"/ws","client":"192.0.2.1"}')


class AnswerTests:
    """What is answered."""

    def test_identity(self) -> None:
        """Claims, `sub` and `exp` among them."""
        who = read_answer(200, b'{"sub":"alice","exp":2000,"role":"x"}', WALL)
        assert isinstance(who, Identity)
        assert (who.subject, who.expires_at, who.claims["role"]) == ("alice", 2000.0, "x")
        assert read_answer(200, b"{}", WALL) == Identity("")

    @pytest.mark.parametrize(
        ("status", "body", "verdict"),
        [(204, b"", None), (401, b"x", Denied(Why.WEBHOOK)), (403, b"", Denied(Why.WEBHOOK)),
         (200, b'{"exp":1000}', Denied(Why.EXPIRED)), (200, b"", FAILED), (200, b"ok", FAILED), (200, b"[]", FAILED),
         (200, b'{"sub":5}', FAILED), (200, b'{"exp":"x"}', FAILED), (200, b'{"sub":"a","sub":"b"}', FAILED),
         (200, b" " * MAX_ANSWER_BYTES + b"{}", FAILED), (500, b"{}", FAILED), (302, b"", FAILED), (404, b"", FAILED),
         (201, b"{}", FAILED), (0, b"", FAILED)],
    )  # fmt: skip
    def test_verdicts(self, status: int, body: bytes, verdict: Verdict) -> None:
        """Yes, nobody, no; all else is a failure, never a yes."""
        assert read_answer(status, body, WALL) == verdict

    @given(st.integers(), st.binary(max_size=60))
    def test_any_answer(self, status: int, body: bytes) -> None:
        """Nothing raises."""
        read_answer(status, body, WALL)


class WebhookTests:
    """What is remembered."""

    def test_asked_once(self) -> None:
        """While an answer is on its way, and while it is fresh; other headers make no other question."""
        rig = Rig()
        rig.ask(shown())
        rig.ask(shown(origin="https://a"))
        rig.answer()
        rig.ask(shown())
        rig.now += 29
        rig.ask(shown())
        assert len(rig.keys) == 1
        assert [who.subject for who in rig.verdicts if isinstance(who, Identity)] == ["alice"] * 4
        rig.now += 1
        rig.ask(shown())
        assert len(rig.keys) == 2

    def test_each_for_itself(self) -> None:
        """Other credentials, another question."""
        rig = Rig()
        rig.ask(shown("a=1"))
        rig.ask(shown("a=2"))
        rig.ask(shown("a=1", authorization="Basic x"))
        assert len(set(rig.keys)) == 3

    @pytest.mark.parametrize("status", [204, 403])
    def test_no_is_remembered(self, status: int) -> None:
        """And nobody, too."""
        rig = Rig()
        for _ in range(2):
            rig.ask(shown())
            if len(rig.verdicts) == 0:
                rig.answer(status)
        assert len(rig.keys) == 1 and rig.verdicts[0] == rig.verdicts[1]

    def test_failure_is_not(self) -> None:
        """Neither a bad answer nor none."""
        rig = Rig()
        rig.ask(shown())
        rig.answer(500)
        rig.ask(shown())
        rig.webhook.failed(rig.keys[-1])
        rig.ask(shown())
        assert (len(rig.keys), rig.verdicts, rig.webhook.failures) == (3, [FAILED, FAILED], 2)

    def test_anonymous(self) -> None:
        """The milder mode: a stranger, never somebody."""
        rig = Rig(on_failure=OnFailure.ANONYMOUS)
        rig.ask(shown())
        rig.answer(500)
        assert rig.verdicts == [None]

    def test_expiry_ends_the_memory(self) -> None:
        """An answer is not good for longer than it says."""
        rig = Rig()
        rig.ask(shown())
        rig.answer(body=json.dumps({"sub": "alice", "exp": WALL + 5}).encode())
        rig.wall += 5
        rig.ask(shown())
        assert len(rig.keys) == 2

    def test_no_cache(self) -> None:
        """`cache: 0s`."""
        rig = Rig(cache_s=0.0)
        for _ in range(2):
            rig.ask(shown())
            rig.answer()
        assert len(rig.keys) == 2

    def test_nothing_to_ask(self) -> None:
        """Nobody can be known by a browser's name."""
        rig = Rig()
        rig.ask(Credential(None, (("user-agent", "x"),)))
        assert (rig.keys, rig.verdicts) == ([], [None])

    def test_bounds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of what is remembered, the oldest goes; of questions under way, the newest fails."""
        monkeypatch.setattr(module, "MAX_REMEMBERED", 2)
        monkeypatch.setattr(module, "MAX_ASKING", 1)
        rig = Rig()
        for cookie in ("a=1", "a=2", "a=3", "a=1"):
            rig.ask(shown(cookie))
            rig.answer()
        assert len(rig.keys) == 4
        rig.ask(shown("a=5"))
        rig.ask(shown("a=6"))
        assert rig.verdicts[-1] == FAILED and rig.webhook.failures == 1

    def test_late_answer(self) -> None:
        """To a question that has failed already: nobody waits, and the next one knows."""
        rig = Rig()
        rig.ask(shown())
        rig.webhook.failed(rig.keys[-1])
        rig.answer()
        rig.ask(shown())
        assert len(rig.keys) == 1 and isinstance(rig.verdicts[-1], Identity)
