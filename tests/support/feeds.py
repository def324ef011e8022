"""Replays the scripts of `tests/feeds/` against a conversation, with nothing else of relayd.

`tests/feeds/README.md` says how a script reads. Whatever a script leaves out is not compared, everything else exactly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from relayd.core.feed.build import build_dialect
from relayd.core.feed.conversation import Conversation, Wanted
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.outcome import (
    Ack,
    Beat,
    Control,
    Data,
    Fail,
    Frame,
    Held,
    HttpRequest,
    Login,
    Outcome,
    Parts,
    Sending,
    Unknown,
    Unrouted,
)
from relayd.core.topic import TopicTemplate

FEEDS = Path(__file__).resolve().parent.parent / "feeds"
NAMES = sorted(path.stem for path in FEEDS.glob("*.jsonl"))


def read_script(name: str) -> list[dict[str, Any]]:
    """The lines of a script."""
    return [json.loads(line) for line in (FEEDS / f"{name}.jsonl").read_text("utf-8").splitlines() if line.strip()]


def read_file(name: str) -> dict[str, Any]:
    """A feed's relay.yaml, as plain values."""
    loaded: dict[str, Any] = yaml.safe_load((FEEDS / f"{name}.yaml").read_text("utf-8"))
    return loaded


def read_upstream(name: str) -> dict[str, Any]:
    """The one upstream block of a feed's file."""
    (upstream,) = read_file(name)["upstreams"].values()
    return dict(upstream)


def fields_of(routes: Sequence[Mapping[str, Any]], topic: str) -> dict[str, str]:
    """The fields of a topic: those of the first route that yields it, and those that its `allow` fixes."""
    for route in routes:
        values = TopicTemplate.parse(route["topic"]).match(topic)
        if values is None:
            continue
        fixed = {
            field: rule[0]
            for field, rule in route["allow"].items()
            if field not in values and isinstance(rule, list) and len(rule) == 1
        }
        fields = {**values, **fixed}
        if all(fields[field] in rule for field, rule in route["allow"].items() if isinstance(rule, list)):
            return fields
    raise LookupError(topic)


class Replay:
    """One conversation over the lines of a script; a second `open` starts a new one."""

    def __init__(self, name: str, dialect: Dialect | None = None) -> None:
        self.lines = read_script(name)
        self.routes = read_file(name)["routes"]
        self.dialect = build_dialect(read_upstream(name)) if dialect is None else dialect
        self.given: dict[str, Any] = self.lines[0].get("given", {})
        self.conversation = self.connect()
        if not self.dialect.login:
            self.conversation.open()

    def connect(self) -> Conversation[str]:
        """A new connection."""
        return Conversation(
            self.dialect,
            wall=lambda: float(self.given.get("now", 0)),
            uuid=lambda: str(self.given.get("uuid", "")),
            secrets={f"env.{name}": value for name, value in self.given.get("env", {}).items()},
            saved=self.given.get("save", {}),
        )

    def play(self, line: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """One line: what it says must be, and what is."""
        wanted = {key: line[key] for key in ("expect", "url", "headers") if key in line}
        found: dict[str, Any] = {}
        sends: Sequence[Sending] = ()
        if "open" in line:
            self.conversation = self.connect()
            sends = self.conversation.open()
        elif "want" in line:
            sends = self.conversation.want([Wanted(topic, fields_of(self.routes, topic)) for topic in line["want"]])
        elif "drop" in line:
            sends = self.conversation.drop(line["drop"])
        elif "tick" in line:
            sends = self.conversation.beat()
        elif "in" in line:
            text = line["in"] if isinstance(line["in"], str) else json.dumps(line["in"])
            outcome = self.conversation.message(text.encode(), True, line.get("sse"))
            sends, found["expect"] = outcome.sends, spell(outcome, line["expect"])
        elif "reply" in line:
            outcome = self.conversation.reply(json.dumps(line["reply"]).encode())
            sends, found["expect"] = outcome.sends, spell(outcome, line["expect"])
        if "given" not in line:
            wanted["sends"] = line.get("sends", [])
            found["sends"] = [spell_sending(sending) for sending in sends]
        if "url" in line or "headers" in line:
            request = self.conversation.dial_request()
            found |= {"url": request.url} if "url" in line else {}
            found |= {"headers": dict(request.headers)} if "headers" in line else {}
        return wanted, found


def spell_sending(sending: Sending) -> Any:
    """A frame or request as scripts write it."""
    if isinstance(sending, Frame):
        text = sending.payload.decode()
        return json.loads(text) if text[:1] in "{[" and text[-1:] in "}]" else text
    assert isinstance(sending, HttpRequest)
    http = {"method": sending.method, "url": sending.url, "headers": dict(sending.headers)}
    return {"http": {**http, "json": json.loads(sending.body)} if sending.body else http}


def spell(outcome: Outcome[str], wanted: Any) -> Any:
    """An outcome as scripts write it. `wanted` decides only what is left out: payloads, reasons, parts or not."""
    if isinstance(outcome, Parts):
        hints = wanted if isinstance(wanted, list) and len(wanted) == len(outcome.parts) else [{}] * len(outcome.parts)
        return [spell(part, hint) for part, hint in zip(outcome.parts, hints, strict=True)]
    hint = wanted if isinstance(wanted, dict) else {}
    if isinstance(outcome, Data):
        rows = [spell_data(outcome, topic, hint.get("data")) for topic in outcome.topics]
        return {"data": rows[0] if len(rows) == 1 else rows}
    if isinstance(outcome, Ack):
        spelt: dict[str, Any] = {"ack": list(outcome.topics)}
        if outcome.failed:
            spelt["fail"] = {"topics": list(outcome.failed)}
        if outcome.released:
            hints = hint.get("released", [])
            spelt["released"] = [
                spell_data(data, topic, hints[at] if at < len(hints) else None)
                for at, data in enumerate(outcome.released)
                for topic in data.topics
            ]
        return spelt
    if isinstance(outcome, Fail):
        fail: dict[str, Any] = {"topics": list(outcome.topics)}
        if "text" in hint.get("fail", {"text": ""}):
            fail["text"] = outcome.text
        return {"fail": fail}
    if isinstance(outcome, Beat):
        return {"beat": True} | ({} if outcome.seq is None else {"seq": outcome.seq})
    if isinstance(outcome, Login):
        return {"login": outcome.step}
    if isinstance(outcome, Control):
        return {"control": outcome.do} | ({"topics": list(outcome.topics)} if outcome.do == "resubscribe" else {})
    names = {Held: "held", Unrouted: "unrouted", Unknown: "unknown"}
    return {names[type(outcome)]: True}


def spell_data(data: Data[str], topic: str, hint: Any) -> dict[str, Any]:
    """One publication; the payload only where it is asked for."""
    spelt: dict[str, Any] = {"topic": topic}
    if data.seq is not None:
        spelt["seq"] = list(data.seq) if isinstance(data.seq, tuple) else data.seq
    if data.gap:
        spelt["gap"] = True
    if data.snapshot:
        spelt["snapshot"] = True
    if isinstance(hint, dict) and "payload" in hint:
        spelt["payload"] = json.loads(data.payload)
    return spelt
