"""Tests of relayd.core.upstream.attempt."""

from __future__ import annotations

from collections.abc import Mapping

from relayd.core.feed.connect import HttpStep
from relayd.core.feed.outcome import HttpRequest
from relayd.core.feed.path import parse_paths
from relayd.core.feed.resume import Resume
from relayd.core.feed.url import parse_http
from relayd.core.feed.voice import Voice
from relayd.core.upstream.attempt import Attempt
from relayd.core.upstream.effects import DialImpossible, DialRequest, Loss, LossKind
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.prepare import Preparation
from relayd.core.upstream.topics import TopicLedger
from tests.support.upstream import NO_FIELDS, TinyTalk, WritingHub

TOKEN = HttpStep(parse_http({"url": "https://a.example/${env.KEY}"}), {"token": parse_paths("t")}, True, 4.0)


class AttemptCase:
    """Attempts in the tiny dialect."""

    def attempt(self, *steps: HttpStep, in_url: bool = False, key: str | None = "k") -> Attempt[str]:
        self.talks: list[TinyTalk] = []
        self.topics: TopicLedger[str] = TopicLedger(
            WritingHub(), within_s=lambda fields: None, failed_again_s=1.0, unasked=False
        )
        secrets = {} if key is None else {"env.KEY": key}

        def speak(saved: Mapping[str, object]) -> Voice:
            return Voice(wall=lambda: 0.0, uuid=lambda: "u", secrets=secrets, saved=saved, resume=Resume())

        def converse(saved: Mapping[str, object]) -> TinyTalk:
            if saved.get("token") == "bad":
                raise DialImpossible("connect needs $host, which has no value")
            self.talks.append(TinyTalk(saved=saved, in_url=in_url))
            return self.talks[-1]

        preparation = Preparation(steps, speak) if steps else None
        return Attempt(UpstreamPolicy(topics_in_url=in_url), self.topics, converse, preparation)


class AttemptTests(AttemptCase):
    """From the first step to the dial."""

    def test_at_once(self) -> None:
        """Without steps; the conversation is handed out once."""
        attempt = self.attempt()
        assert attempt.begin(0.0) == DialRequest("ws://feed.example/")
        assert attempt.within_s == 15.0
        assert attempt.take_talk() is self.talks[0]
        assert attempt.take_talk() is None
        assert attempt.replied(b"{}", 200, None, 0.0) is None

    def test_elsewhere(self) -> None:
        """Once, to where a message said."""
        attempt = self.attempt()
        attempt.next_url = "ws://other.example/"
        assert attempt.begin(0.0) == DialRequest("ws://other.example/")
        assert attempt.begin(0.0) == DialRequest("ws://feed.example/")

    def test_topics_in_the_url(self) -> None:
        """What is wanted stands in the request, and counts as sent."""
        attempt = self.attempt(in_url=True)
        self.topics.want("a", NO_FIELDS)
        assert attempt.begin(0.0) == DialRequest("ws://feed.example/?a")
        assert not self.topics.difference_due

    def test_after_steps(self) -> None:
        """Each step with its time, then the dial with its own."""
        attempt = self.attempt(TOKEN)
        assert attempt.begin(0.0) == HttpRequest("GET", "https://a.example/k")
        assert attempt.within_s == 4.0
        assert attempt.replied(b'{"t": 1}', 200, None, 0.0) == DialRequest("ws://feed.example/")
        assert (attempt.within_s, self.talks[0].saved) == (15.0, {"token": 1})
        assert attempt.replied(b'{"t": 1}', 200, None, 0.0) is None
        assert attempt.begin(0.0) == DialRequest("ws://feed.example/")
        attempt.refused()
        assert isinstance(attempt.begin(0.0), HttpRequest)
        attempt.end()
        assert attempt.replied(b'{"t": 1}', 200, None, 0.0) is None

    def test_losses(self) -> None:
        """Whatever goes wrong before the dial is told as one."""
        needs = Loss(LossKind.CONFIG, text="connect.before needs ${env.KEY}, which has no value")
        assert self.attempt(TOKEN, key=None).begin(0.0) == needs
        attempt = self.attempt(TOKEN)
        attempt.begin(0.0)
        text = "connect needs $host, which has no value"
        assert attempt.replied(b'{"t": "bad"}', 200, None, 0.0) == Loss(LossKind.CONFIG, text=text)
        attempt.begin(0.0)
        attempt.refused()
        attempt.begin(0.0)
        loss = attempt.replied(b"no", 500, 3.0, 0.0)
        assert loss == Loss(LossKind.HTTP, status=500, text="connect.before: no", retry_after_s=3.0)
        dots = self.attempt(TOKEN, HttpStep(parse_http({"url": "https://b.example/$token"})))
        dots.begin(0.0)
        assert isinstance(dots.replied(b'{"t": ".."}', 200, None, 0.0), Loss)

    def test_refused_without_steps(self) -> None:
        """Nothing was kept."""
        attempt = self.attempt()
        attempt.refused()
        assert isinstance(attempt.begin(0.0), DialRequest)
