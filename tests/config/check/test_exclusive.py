"""Exclusive routes."""

# Messages stand here as a person reads them: in one line.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from tests.support.relay_yaml import config, told

AUTH = 'auth: {webhook: {url: "https://auth.example.com/"}}\n'


def text(connect: str = "", routes: str = "[{topic: echo, upstream: echo, exclusive: true}]", top: str = "") -> str:
    """A file with one upstream."""
    return f'upstreams: {{echo: {{connect: {{url: "wss://echo.example.com/"{connect}}}}}}}\nroutes: {routes}\n{top}'


class ExclusiveTests:
    """Alone, or not."""

    def test_right(self):
        """With everything that a browser may bring."""
        headers = ', headers: {A: "${browser.token}", B: "${browser.claims.a.b}", C: "${browser.query.k:-d}", D: "$$"}'
        assert told(text(headers, top=AUTH)) == []
        assert config(text()).routes[0].exclusive is True

    def test_numbers_and_switches(self):
        """Hold no placeholder; an upstream that is broken is passed over."""
        assert told(text("}, limits: {send: 5/1s, topics: 7")) == []
        broken = "upstreams: {echo: {conect: 5}}\nroutes: [{topic: echo, upstream: echo, exclusive: true}]\n"
        assert told(broken)[0].startswith("upstreams.echo")

    def test_not_alone(self):
        """One route of the upstream for each browser, another for all."""
        routes = "[{topic: a, upstream: echo, exclusive: true}, {topic: b, upstream: echo}]"
        assert told(text(routes=routes)) == [
            "routes[1]: another route has the connections of echo for each browser alone (expected exclusive: true here as well, or another upstream)"
        ]

    @pytest.mark.parametrize("key", ["deliver", "stale_after", "linger", "pin"])
    def test_keys_of_the_hub(self, key):
        """Nothing is kept."""
        value = {"deliver": "{history: 5/1m/1MiB}", "pin": "[echo]"}.get(key, "5s")
        assert told(text(routes=f"[{{topic: echo, upstream: echo, exclusive: true, {key}: {value}}}]")) == [
            f"routes[0].{key}: an exclusive route keeps nothing: what comes is passed on at once (expected no `{key}`)"
        ]

    def test_without_an_upstream(self):
        """There is nothing to connect to."""
        assert told("routes: [{topic: a, exclusive: true, access: {publish: public}}]\n") == [
            "routes[0].exclusive: without an upstream no connection can be a browser's own (expected no `exclusive`)"
        ]

    def test_stream(self):
        """Only a WebSocket goes both ways."""
        file = text().replace("wss:", "https:").replace("connect:", "transport: sse, connect:")
        assert told(file) == [
            "upstreams.echo.transport: the routes of echo are exclusive, and only a WebSocket is passed on (expected websocket)"
        ]

    @pytest.mark.parametrize(
        ("inner", "said"),
        [
            ("browser.tokn", "a browser brings browser.token, browser.claims.NAME and browser.query.NAME (expected one of them)"),
            ("browser.token", "nothing says how browsers show ${browser.token} (expected an `auth` block)"),
            ("browser.claims.a", "nothing says how browsers show ${browser.claims.a} (expected an `auth` block)"),
        ],
    )  # fmt: skip
    def test_placeholders(self, inner, said):
        """What a browser can bring, and how."""
        assert told(text(f', headers: {{A: "x ${{{inner}}}"}}')) == [f"upstreams.echo.connect.headers.A: {said}"]

    def test_shared(self):
        """Nobody's in particular."""
        file = text(', query: {k: "${browser.query.k}"}', routes="[{topic: echo, upstream: echo}]")
        assert told(file) == [
            "upstreams.echo.connect.query.k: ${browser.query.k} has a value only on a connection that is one browser's own (expected `exclusive: true` on every route of this upstream)"
        ]

    def test_in_lists(self):
        """Wherever it stands."""
        login = ', login: [{send: [x, "${browser.token}"], expect: {a: b}}]'
        file = text().replace('"}}', f'"}}{login}}}')
        assert told(file) == [
            "upstreams.echo.login[0].send[1]: nothing says how browsers show ${browser.token} (expected an `auth` block)"
        ]

    @pytest.mark.parametrize(
        "url",
        [
            "${browser.query.url}",
            "wss://${browser.query.host}/",
            "wss://${browser.claims.shard}.example.com/x",
            "wss://echo.example.com:${browser.query.port:-1/2}",
        ],
    )
    def test_host(self, url):
        """Who comes in must not say where relayd dials; also not in a step before."""
        said = (
            "a browser must not choose which host is dialled: relayd stands in your network "
            "(expected ${browser.X} in the path or in `query` only)"
        )
        assert told(text(top=AUTH).replace("wss://echo.example.com/", url)) == [f"upstreams.echo.connect.url: {said}"]
        step = f', before: [{{http: {{url: "{url.replace("wss:", "https:")}"}}, save: {{t: token}}}}]'
        assert told(text(step, top=AUTH)) == [f"upstreams.echo.connect.before[0].http.url: {said}"]

    def test_path(self):
        """A path and a query may hold what a browser brings: it is encoded there."""
        url = "wss://echo.example.com/${browser.claims.a}?b=${browser.query.b:-}"
        assert told(text(top=AUTH).replace("wss://echo.example.com/", url)) == []

    def test_beside_other_faults(self):
        """An upstream that cannot be read says nothing of what a browser brings; numbers are no texts."""
        assert told(text(", max_age: x", top=AUTH).replace("}}}", "}, limits: {topics: 5}}}"))[0].startswith(
            "upstreams.echo.connect.max_age:"
        )
        assert told(text(', headers: {A: "${browser.token}"}', top=AUTH).replace("}}}", "}}, limits: {topics: 5}}")) == []
