"""The upstreams' half of compiling: the model's block and the file's block mean the same dialect."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.config.compile_upstream import compile_upstream
from relayd.config.load import load
from relayd.config.model import Upstream
from relayd.core.feed.build import build_dialect
from relayd.core.feed.conversation import Conversation, Wanted
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.errors import DialectError
from relayd.core.feed.spec import CodeRule, LimitsSpec, RateSpec, SilenceSpec
from relayd.core.hours import Hours
from tests.support.feeds import FEEDS, NAMES, Replay, read_script, read_upstream

# Its transport is not spoken by the file's model; tests/core/feed/test_scripts.py replays it.
OVER_WEBSOCKET = [name for name in NAMES if read_upstream(name).get("transport", "websocket") == "websocket"]


def compiled(**block: Any) -> Dialect:
    """The dialect of a block in the file's words."""
    whole = {"connect": {"url": "wss://feed.example.com"}, "topic": {"at": "ch"}, **block}
    return compile_upstream(Upstream.model_validate(whole))


class CompileUpstreamTests:
    """From `config.model.Upstream` to `core.feed.Dialect`."""

    @pytest.mark.parametrize("name", OVER_WEBSOCKET)
    def test_a_feed_read_by_the_model_replays_its_script(self, name: str) -> None:
        """Nothing is lost between the file, the model and the dialect."""
        environ = read_script(name)[0].get("given", {}).get("env", {})
        (upstream,) = load(FEEDS / f"{name}.yaml", environ).upstreams.values()
        replay = Replay(name, compile_upstream(upstream))
        for number, line in enumerate(replay.lines, 1):
            wanted, found = replay.play(line)
            assert found == wanted, f"{name}.jsonl:{number}"

    @pytest.mark.parametrize("name", OVER_WEBSOCKET)
    def test_the_model_and_the_file_mean_the_same(self, name: str) -> None:
        """What is asked of the connection does not depend on the way it was read."""
        environ = read_script(name)[0].get("given", {}).get("env", {})
        (upstream,) = load(FEEDS / f"{name}.yaml", environ).upstreams.values()
        by_model, by_file = compile_upstream(upstream), build_dialect(read_upstream(name))
        for key in ("limits", "reconnect", "heartbeat", "control", "sequences", "subscribe", "fields", "secrets"):
            assert getattr(by_model, key) == getattr(by_file, key), key

    def test_a_heartbeat_that_is_off_stays_off(self) -> None:
        """`off` is not the default, which is a ping."""
        assert compiled(heartbeat="off").heartbeat is None
        left_out = compiled().heartbeat
        assert left_out is not None and left_out.ping

    def test_values_with_units(self) -> None:
        """Codes, rates and hours come through."""
        dialect = compiled(
            reconnect={"codes": {"4400-4499": "stop", 4408: "retry"}, "status": {429: "wait", 418: "2m"}},
            limits={"topics": 50, "send": "5/1s", "first_send": "5s"},
            silence={"any": "5s", "data": "off", "hours": "09:00-15:30,17:00-24:00 Asia/Tokyo mon-fri"},
        )
        assert dialect.reconnect.codes == (CodeRule(4400, 4499, "stop"), CodeRule(4408, 4408, "retry"))
        assert dialect.reconnect.status == (CodeRule(429, 429, "wait"), CodeRule(418, 418, 120.0))
        assert dialect.limits == LimitsSpec(topics=50, send=RateSpec(5, 1.0), first_send_s=5.0)
        hours = Hours(((540, 930), (1020, 1440)), "Asia/Tokyo", (0, 1, 2, 3, 4))
        assert dialect.silence == SilenceSpec(any_s=5.0, hours=hours)

    def test_rows_of_the_topics_table(self) -> None:
        """Values are data, and `as` names the answer."""
        dialect = compiled(
            topics={"a": {"query": "q($x)", "deep": {"x": None}}, "b": {"as": "c"}},
            subscribe={"send": {"op": "$verb", "name": "$topic"}},
        )
        assert dialect.topics is not None
        assert dialect.topics["a"].values == {"query": "q($x)", "deep": {"x": None}}
        assert dialect.topics["b"].answers_as == "c"

    def test_nulls_in_messages_survive(self) -> None:
        """What is left out and what is null are different things."""
        dialect = compiled(
            subscribe={"send": {"op": "$topic", "none": None}},
            control=[{"when": {"result": None}, "do": "beat"}],
        )
        assert dialect.control[0].when.conditions[0].values == (None,)
        assert b'"none":null' in dialect_frame(dialect)

    def test_what_cannot_be_meant_is_told_with_its_place(self) -> None:
        """A placeholder nobody fills."""
        with pytest.raises(DialectError) as caught:
            compiled(subscribe={"send": {"op": "$nothing"}})
        assert caught.value.problems[0][0] == ("subscribe", 0)


def dialect_frame(dialect: Dialect) -> bytes:
    """The first frame that asks for topic `a`."""
    conversation = Conversation[str](dialect, wall=lambda: 0.0, uuid=lambda: "")
    conversation.open()
    (frame,) = conversation.want([Wanted("a", {"name": "a"})])
    return frame.payload
