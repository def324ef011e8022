"""Routes without an upstream."""

# Messages stand here as a person reads them: in one line.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from tests.support.relay_yaml import config, problems, told


def about(route: str) -> list[str]:
    """What is said of a file that has this route alone."""
    return [one.removeprefix("routes[0]").removeprefix(".") for one in told(f"routes: [{{{route}}}]\n")]


class LocalTests:
    """What clients publish is all there is."""

    def test_right(self):
        """A file needs no upstream."""
        read = config("routes: [{topic: chat/$room, allow: {room: any}, access: {publish: public}, stale_after: 5s}]\n")
        assert dict(read.upstreams) == {} and read.routes[0].upstream is None

    def test_nobody_may_publish(self):
        """Then nothing would ever come; most likely the upstream was forgotten."""
        assert problems("routes:\n  - topic: a\n") == [
            "2:5: routes[0]: it has no upstream, and nobody may publish: nothing would ever come "
            "(expected upstream: NAME, or access: {publish: ...})"
        ]

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ("linger: 5s", "linger: without an upstream no upstream subscription outlives its last browser (expected no `linger`)"),
            ("publish: {send: $data}", "publish: without an upstream nothing can be sent up (expected no `publish`)"),
            ("pin: [chat/a]", "pin: without an upstream no upstream has to be kept subscribed (expected no `pin`)"),
            ("deliver: {mode: lossless}", "deliver.mode: without an upstream nobody can be asked for a fresh snapshot (expected queue or conflate)"),
            ("deliver: {key: a}", "deliver.key: a key has a meaning only with conflation (expected mode: conflate)"),
        ],
    )  # fmt: skip
    def test_keys_of_an_upstream(self, more, said):
        """What has no meaning is no setting."""
        assert about(f"topic: chat/a, access: {{publish: public}}, {more}") == [said]

    def test_fields(self):
        """Each is bounded, and each is one of the topic."""
        assert about("topic: chat/$room, access: {publish: public}") == [
            "allow: `allow` must say which values $room may have: each is a topic (expected room: a list, a glob, {regex: ...} or any)"
        ]
        assert about("topic: chat/$room, access: {publish: public}, allow: {room: any, rom: any}") == [
            "allow.rom: the topic has no field rom; did you mean room?"
        ]
        assert about("topic: chat/$room, access: {publish: public}, allow: {room: any, zzz: any}") == [
            "allow.zzz: the topic has no field zzz (expected one of room)"
        ]
        assert about("topic: chat, access: {publish: public}, allow: {zzz: any}") == [
            "allow.zzz: the topic has no field zzz"
        ]

    def test_claims(self):
        """As on any route."""
        assert about("topic: chat/$room, access: {publish: {sub: $rom}}, allow: {room: any}") == [
            "access.publish: asks for claims, and nothing says how browsers show who they are (expected an `auth` block, or public)",
            "access.publish.sub: the topics of this route have no field rom; did you mean $room?",
        ]
