"""All of a file."""

# Messages stand here as a person reads them: in one line.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from tests.support.relay_yaml import ROUTE, UPSTREAM, problems, relay_yaml, told


class WholeTests:
    """Upstreams, routes, and what follows from what."""

    def test_right(self):
        """Nothing to say."""
        assert told(relay_yaml()) == []

    def test_auth(self):
        """Before the upstreams, and beside what routes ask for."""
        route = "{topic: m/$symbol, upstream: fed, access: {subscribe: {a: $b}}}"
        assert [problem.split(":")[0] for problem in told(relay_yaml(route=route, top="auth: {tokens: /none}"))] == [
            "routes[0].upstream", "routes[0].access.subscribe.a", "auth.tokens",
        ]  # fmt: skip

    def test_a_topic_that_is_none(self):
        """Nothing further is said of its route; others are looked at."""
        routes = "routes: [{topic: m//x, upstream: zzz}, {topic: a, upstream: zzz}]\n"
        assert [problem.split(":")[0] for problem in told(routes)] == ["routes[0].topic", "routes[1].upstream"]

    def test_unknown_upstream(self):
        """The one that was meant, or all."""
        assert problems(relay_yaml(route="- topic: a\n  upstream: fed")) == [
            "8:15: routes[0].upstream: there is no upstream fed; did you mean feed?"
        ]
        assert told(relay_yaml(route="{topic: a, upstream: zzz}")) == [
            "routes[0].upstream: there is no upstream zzz (expected feed)"
        ]
        assert told("routes: [{topic: a, upstream: zzz}]\n") == [
            "routes[0].upstream: there is no upstream zzz (expected zzz in `upstreams`)"
        ]
        assert told("routes: [{topic: a, upstream: zzz, linge: 5s}, {topic: b, upstream: zzz}]\n") == [
            "routes[0].linge: unknown key; did you mean linger?",
            "routes[1].upstream: there is no upstream zzz (expected zzz in `upstreams`)",
        ]

    def test_route_of_a_wrong_upstream(self):
        """Who knows what it will yield: only what does not depend on it is told."""
        assert told(
            relay_yaml(UPSTREAM + "hartbeat: off", "- {topic: a/$zzz, upstream: feed}\n- {topic: a//b, upstream: feed}")
        ) == [
            "upstreams.feed.hartbeat: unknown key; did you mean heartbeat?",
            "routes[1].topic: a topic has no empty segment: no slash at either end, no two in a row "
            "(expected a template such as market/ticker/$symbol)",
        ]
        assert told(relay_yaml(UPSTREAM + "control: [{when: {a: 1}}]", "{topic: a/$zzz, upstream: feed}")) == [
            "upstreams.feed.control[0]: a rule that does nothing (expected `ack`, `fail`, `send` or `do`)"
        ]

    def test_upstreams_that_cannot_be_read(self):
        """Then nobody knows which there are."""
        assert told(f"upstreams: *x\nroutes: [{ROUTE}]\n") == [
            "upstreams: an alias: write the value out, or quote a text that starts with `*`"
        ]

    def test_local(self):
        """A route without an upstream asks for none; what it has of one is told."""
        room = "topic: chat/$room, allow: {room: any}, access: {publish: public}"
        assert told(f"routes: [{{{room}}}]\n") == []
        assert told(f"routes: [{{{room}, pin: [chat/a]}}]\n") == [
            "routes[0].pin: without an upstream no upstream has to be kept subscribed (expected no `pin`)"
        ]

    def test_overlap(self):
        """Between routes of any upstream."""
        assert told(relay_yaml(route=f"- {ROUTE}\n- {ROUTE}")) == [
            "routes[1].topic: could yield the same topic as routes[0] (m/$symbol) "
            "(expected other literals, or `allow` lists without a common value)"
        ]

    @pytest.mark.parametrize(
        ("block", "said"),
        [
            (UPSTREAM.replace("$channel,", "$chanel,"), "subscribe: $chanel has no value here"),
            (UPSTREAM.replace("each: $symbol, ", ""), "subscribe: this upstream has no feed names, so `each` must say what a member of $topics is"),
            (UPSTREAM.replace("product_id}}", "product_id}, name: $symbol@$channel}"), "topic.name: `at` is a table, so there is no feed name to take apart; leave `name` out"),
        ],
    )  # fmt: skip
    def test_dialect(self, block, said):
        """What the dialect finds wrong stands at its place in the file."""
        (problem,) = told(relay_yaml(block))
        assert problem.startswith(f"upstreams.feed.{said}")

    @pytest.mark.parametrize("text", ["s3cret$ x", "${s3cret!}", "a: 's3cret$ x': b", "s3cret${"])
    def test_templates_are_not_repeated(self, text):
        """Somebody may have written a secret where a placeholder belongs."""
        block = UPSTREAM + f"login:\n  - send: {{token: '{text.replace(chr(39), chr(39) * 2)}'}}"
        (problem,) = told(relay_yaml(block))
        assert problem.startswith("upstreams.feed.login[0]: ")
        assert "s3cret" not in problem
        assert "placeholder" in problem
