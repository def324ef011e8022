"""What readers are told of their topics."""

from __future__ import annotations

import json

from relayd.core.answers import TOPICS_PER_ANSWER, described, subscribed
from relayd.core.publication import TopicState
from relayd.core.readers import Joined
from tests.support.hub_rig import Rig, route


class SubscribedTests:
    """The answer to a subscribe."""

    def test_in_parts(self) -> None:
        """Each part but the last says that there are more; the last says what patterns met."""
        rig = Rig(route("t/$n"))
        joined = [Joined(rig.hub.topic(f"t/{n}"), "e:0", None, None) for n in range(TOPICS_PER_ANSWER + 1)]
        first, last = map(json.loads, subscribed(7, joined, 3))
        assert (first["id"], len(first["topics"]), first["more"]) == (7, TOPICS_PER_ANSWER, True)
        assert (len(last["topics"]), last["matches"], "more" in last) == (1, 3, False)

    def test_losses_follow(self) -> None:
        """In the order of the topics."""
        rig = Rig(route("t/$n"))
        topic = rig.hub.topic("t/a")
        answer, lost = subscribed(None, [Joined(topic, "e:1", False, b"lost")], None)
        assert json.loads(answer)["topics"]["t/a"] == {"position": "e:1", "state": "pending", "recovered": False}
        assert lost == b"lost"

    def test_by_reference(self) -> None:
        """The number that binary frames will have."""
        topic = Rig(route("t/$n")).hub.topic("t/a")
        [answer] = subscribed(None, [Joined(topic, "e:1", None, None)], None, by_reference=True)
        assert json.loads(answer)["topics"]["t/a"]["ref"] == topic.ref == 1

    def test_why(self) -> None:
        """Only where there is a reason."""
        rig = Rig(route("t/$n"))
        topic = rig.hub.topic("t/a")
        rig.hub.state(topic, TopicState.FAILED, "no such")
        assert described(topic, "e:1") == {"position": "e:1", "state": "failed", "why": "no such"}
