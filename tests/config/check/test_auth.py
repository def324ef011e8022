"""Who judges, and what routes ask for."""

# Messages stand here as a person reads them: in one line.
# ruff: noqa: E501

from __future__ import annotations

import os

import pytest

from relayd.core.auth.tokens import write_line
from tests.support.relay_yaml import problems, relay_yaml, told
from tests.support.signing import jwk, jwks


def about(auth: str, access: str = "public", listeners: str = "{endpoint: tcp:1}") -> list[str]:
    """What is said of an `auth` block and a route's `subscribe`."""
    route = f"{{topic: m/$symbol, upstream: feed, allow: {{channel: [ticker], symbol: any}}, access: {{subscribe: {access}}}}}"
    return told(relay_yaml(route=route, top=f"listeners: [{listeners}]\n{f'auth: {auth}' if auth else ''}"))


@pytest.fixture
def files(tmp_path):
    """Good files."""
    (tmp_path / "jwks").write_bytes(jwks(jwk("ES256"), jwk("HS256", "h")))
    (tmp_path / "tokens").write_text(write_line("t", "alice", {}))
    return tmp_path


class JudgeTests:
    """`jwt`, `tokens`, `webhook`."""

    def test_good(self, files):
        """Nothing to say."""
        jwt = f"jwt: {{jwks: {files}/jwks, algorithms: [ES256, HS256]}}"
        assert (
            about(f'{{{jwt}, tokens: {files}/tokens, webhook: {{url: "https://a"}}, from: [header, "cookie:a"]}}') == []
        )
        assert about('{jwt: {jwks: "https://a.example/jwks", algorithms: [RS256]}}') == []
        assert about('{jwt: {jwks: "http://127.0.0.1:1/jwks", algorithms: [RS256]}}') == []
        assert about('{jwt: {jwks: "http://localhost/jwks", algorithms: [RS256]}}') == []

    def test_by_certificate(self, tmp_path):
        """A listener that asks for certificates is judge enough."""
        (tmp_path / "pem").write_text("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----")
        tls = f"{{cert: {tmp_path}/pem, key: {tmp_path}/pem, client_ca: {tmp_path}/pem}}"
        asks = f"{{endpoint: tcp:1, tls: {tls}}}"
        assert about("{from: [certificate]}", listeners=asks) == []
        assert about("{from: [certificate]}", listeners=asks + ", {endpoint: tcp:2, origins: [any]}") == []
        assert about("{from: [certificate]}") == [
            "auth.from: no listener asks for a certificate (expected `client_ca` in the `tls` of a listener)"
        ]
        assert about("{from: [certificate]}", listeners=f"{{endpoint: tcp:1, tls: {tls}, origins: [any]}}") == [
            "listeners[0].origins: with `any` a page of a stranger could act with its visitor's certificates, so certificates never count here (expected the pages by name, or no certificate in auth.from)"
        ]

    @pytest.mark.parametrize(
        ("auth", "key"),
        [
            ('{webhook: {url: "http://169.254.169.254/"}}', "auth.webhook.url"),
            ('{webhook: {url: "https://[fd00:ec2::254]/"}}', "auth.webhook.url"),
            ('{jwt: {jwks: "https://[::ffff:169.254.169.254]/", algorithms: [ES256]}}', "auth.jwt.jwks"),
        ],
    )
    def test_addresses_that_are_not_dialled(self, auth, key):
        """A metadata service is nobody's judge, unless it is said so."""
        [problem] = about(auth)
        assert problem.startswith(f"{key}: ")
        assert problem.endswith("auth.allow_addresses does not name it (expected another host, or its network there)")
        allowed = "allow_addresses: [169.254.0.0/16, 'fd00:ec2::/32']"
        assert about(auth[:-1] + f", {allowed}}}") == []

    def test_nobody(self):
        """Then nobody could ever be known."""
        assert about("{within: 5s}") == ["auth: nobody judges what browsers show (expected jwt, tokens or webhook)"]
        assert about('{jwt: {jwks: "https://[::1", algorithms: [ES256]}}') == [
            "auth.jwt.jwks: not a URL (expected an https URL, or the path of a file)"
        ]

    @pytest.mark.parametrize(
        ("auth", "what"),
        [
            (
                "{tokens: /none}",
                "auth.tokens: /none cannot be read: No such file or directory (expected a file that this user may read)",
            ),
            (
                '{tokens: "a\\0b"}',
                "auth.tokens: a\\u0000b cannot be read: not a path (expected a file that this user may read)",
            ),
            (
                '{tokens: "${env.X}"}',
                "auth.tokens: a placeholder stands only inside an upstream (expected the path of a file)",
            ),
            (
                "{jwt: {jwks: /none, algorithms: [ES256]}}",
                "auth.jwt.jwks: /none cannot be read: No such file or directory (expected a file that this user may read)",
            ),
            (
                '{jwt: {jwks: "ftp://a/b", algorithms: [ES256]}}',
                "auth.jwt.jwks: not a URL of http: or https: (expected an https URL, or the path of a file)",
            ),
            (
                '{jwt: {jwks: "http://a.example/b", algorithms: [ES256]}}',
                "auth.jwt.jwks: keys that are fetched without TLS can be exchanged on the way (expected an https URL)",
            ),
            (
                '{jwt: {jwks: "http://10.0.0.1/b", algorithms: [ES256]}}',
                "auth.jwt.jwks: keys that are fetched without TLS can be exchanged on the way (expected an https URL)",
            ),
            (
                '{jwt: {jwks: "https://a.example/b", algorithms: [ES256, HS256]}}',
                "auth.jwt.algorithms: HS256, HS384 and HS512 need a shared secret, which does not belong into a set that is fetched (expected a JWKS file, or another algorithm)",
            ),
            (
                "{tokens: /dev/null, from: [header, header]}",
                "auth.from[1]: stands twice in the list (expected each once)",
            ),
        ],
    )
    def test_refused(self, auth, what):
        """Each at its place, with the remedy."""
        assert about(auth) == [what]

    def test_contents(self, files):
        """What is wrong in the files."""
        (files / "tokens").write_text("# x\nhello\n")
        assert about(f"{{tokens: {files}/tokens}}") == [
            f"auth.tokens: {files}/tokens: line 2: expected sha256:HASH NAME {{claims}}, as `relayd token NAME` prints it (expected lines that `relayd token NAME` prints)"
        ]
        (files / "tokens").write_text("ä")
        assert about(f"{{tokens: {files}/tokens}}") == [
            f"auth.tokens: {files}/tokens: not ASCII (expected lines that `relayd token NAME` prints)"
        ]
        assert about(f"{{jwt: {{jwks: {files}/jwks, algorithms: [RS256]}}}}") == [
            f"auth.jwt.jwks: {files}/jwks: no key for RS256 (expected a JWKS (RFC 7517) with a key for each algorithm)"
        ]
        os.truncate(files / "tokens", 5 << 20)
        assert about(f"{{tokens: {files}/tokens}}") == [
            f"auth.tokens: {files}/tokens is larger than 4 MiB (expected a smaller file)"
        ]

    def test_cookies_and_any_page(self, files):
        """They exclude each other."""
        what = "listeners[0].origins: with `any` a page of a stranger could act with its visitor's cookies, so cookies never count here (expected the pages by name, or no cookie in auth.from and no webhook)"
        anybody = "{endpoint: tcp:1, origins: [any]}"
        assert about(f'{{tokens: {files}/tokens, from: ["cookie:a"]}}', listeners=anybody) == [what]
        assert about('{webhook: {url: "https://a"}}', listeners=anybody) == [what]
        assert about(f"{{tokens: {files}/tokens}}", listeners=anybody) == []

    def test_secrets_are_not_shown(self):
        """A URL may hold one."""
        (problem,) = about('{webhook: {url: "ftp://x/?key=hunter2"}}')
        assert "hunter2" not in problem


class AccessTests:
    """What routes ask for."""

    def test_good(self, files):
        """Fields of the topic, and those that `allow` fixes."""
        for access in ('{sub: "$symbol"}', '{a: "$channel"}', '{a: "$$x", b: [x, "$symbol"]}', "nobody", "public"):
            assert about(f"{{tokens: {files}/tokens}}", access) == []
        assert about("", "nobody") == []

    def test_nobody_is_known(self):
        """Claims need somebody who judges."""
        assert about("", "{role: x}") == [
            "routes[0].access.subscribe: asks for claims, and nothing says how browsers show who they are (expected an `auth` block, or public)"
        ]

    def test_a_bad_auth_is_one(self):
        """It is not told that there is none."""
        assert about("{within: 5}", "{role: x}") == [
            "auth.within: a duration needs its unit (got 5, expected a duration such as 500ms, 30s, 1m30s or 23h30m)"
        ]

    def test_fields(self, files):
        """With the one that was meant, or those there are."""
        auth = f"{{tokens: {files}/tokens}}"
        assert about(auth, '{sub: "$symbl"}') == [
            "routes[0].access.subscribe.sub: the topics of this route have no field symbl; did you mean $symbol?"
        ]
        assert about(auth, '{sub: ["$x"]}') == [
            "routes[0].access.subscribe.sub: the topics of this route have no field x (expected one of its fields: symbol or channel)"
        ]

    def test_no_fields(self, files):
        """A topic of literals."""
        text = relay_yaml(
            "connect: {url: 'wss://a.example'}\ntopic: {at: {a: b}}",
            "{topic: m, upstream: feed, access: {subscribe: {sub: $x}}}",
            f"auth: {{tokens: {files}/tokens}}",
        )
        (problem,) = problems(text)
        assert problem.endswith("the topics of this route have no field x (expected a value)")
