"""Listeners at the same place, and files that cannot be read."""

# Messages stand here as a person reads them: in one line.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from tests.support.relay_yaml import problems, relay_yaml, told


@pytest.fixture
def pem(tmp_path):
    """A file that looks like all that `tls` asks for."""
    path = tmp_path / "all.pem"
    path.write_text("\n".join(f"-----BEGIN {what}-----" for what in ("CERTIFICATE", "PRIVATE KEY", "X509 CRL")))
    return path


def about(listeners, admin="") -> list[str]:
    """What is said of listeners."""
    return told(relay_yaml(top=f"listeners: [{listeners}]\n{admin}"))


class PlaceTests:
    """Each endpoint has a place of its own."""

    @pytest.mark.parametrize(
        "listeners",
        [
            "{endpoint: tcp:8080}, {endpoint: tcp:8081}",
            "{endpoint: tcp:0}, {endpoint: tcp:0}",
            "{endpoint: 'tcp:8080:interface=127.0.0.1'}, {endpoint: 'tcp:8080:interface=127.0.0.2'}",
            "{endpoint: 'unix:/run/a'}, {endpoint: 'unix:/run/b'}",
            "{endpoint: 'systemd:a'}, {endpoint: 'systemd:b'}",
        ],
    )
    def test_different(self, listeners):
        """Nothing to say."""
        assert about(listeners) == []

    @pytest.mark.parametrize(
        ("listeners", "endpoint"),
        [
            ("{endpoint: tcp:8080}, {endpoint: 'tcp:8080:backlog=5'}", "tcp:8080:backlog=5"),
            ("{endpoint: 'unix:/run/a:mode=660'}, {endpoint: 'unix:/run/./a'}", "unix:/run/./a"),
            (
                "{endpoint: 'tcp6:1:interface=\\:\\:1'}, {endpoint: 'tcp6:1:interface=\\:\\:1'}",
                "tcp6:1:interface=\\:\\:1",
            ),
        ],
    )
    def test_same(self, listeners, endpoint):
        """The second one is told which came first."""
        assert about(listeners) == [
            f'listeners[1].endpoint: the same place as listeners[0].endpoint (got "{endpoint}", expected a place of its own)'
        ]

    def test_admin(self):
        """The admin listener, too."""
        here = "'tcp:8080:interface=127.0.0.1'"
        assert about(f"{{endpoint: {here}}}", f"admin: {{endpoint: {here}}}") == [
            'admin.endpoint: the same place as listeners[0].endpoint (got "tcp:8080:interface=127.0.0.1", expected a place of its own)'
        ]
        assert about("{endpoint: tcp:8080}", "admin: {endpoint: 'tcp:8081:interface=127.0.0.1'}") == []


class AdminTests:
    """Never open to others unless that is said."""

    @pytest.mark.parametrize(
        "endpoint",
        ["tcp:8081:interface=127.0.0.1", "tcp:8081:interface=127.7.7.7", "tcp6:8081:interface=\\:\\:1", "unix:/run/relayd.admin"],
    )
    def test_here(self, endpoint):
        """On this machine it needs no login."""
        assert about("{endpoint: tcp:8080}", f"admin: {{endpoint: '{endpoint}'}}") == []

    @pytest.mark.parametrize(
        "endpoint",
        ["tcp:8081", "tcp6:8081", "tcp:8081:interface=0.0.0.0", "tcp:8081:interface=192.0.2.1", "systemd:admin", "tcp:8081:backlog=5"],
    )
    def test_elsewhere(self, endpoint, tmp_path, pem):
        """Everywhere else it does, or says that it is open."""
        [problem] = about("{endpoint: tcp:8080}", f"admin: {{endpoint: '{endpoint}'}}")
        assert problem == (
            "admin.endpoint: whoever reaches this endpoint could read which feeds and topics there are "
            f'(got "{endpoint}", expected tcp:8081:interface=127.0.0.1, or `tokens` beside it (relayd token NAME), or `open: true`)'
        )
        (tmp_path / "tokens").write_text(f"sha256:{'0' * 64}  prometheus\n")
        tls = f"{{cert: {pem}, key: {pem}, client_ca: {pem}}}"
        for login in ("open: true", f"tokens: {tmp_path}/tokens", f"tls: {tls}"):
            assert about("{endpoint: tcp:8080}", f"admin: {{endpoint: '{endpoint}', {login}}}") == []

    def test_tls_alone_is_no_login(self, pem):
        """A certificate of relayd's own says nothing of who asks."""
        [problem] = about("{endpoint: tcp:8080}", f"admin: {{endpoint: tcp:8081, tls: {{cert: {pem}, key: {pem}}}}}")
        assert problem.startswith("admin.endpoint: whoever reaches")

    def test_open_beside_a_login(self, tmp_path):
        """One of them is not meant."""
        (tmp_path / "tokens").write_text("")
        [problem] = about("{endpoint: tcp:8080}", f"admin: {{endpoint: tcp:8081, open: true, tokens: {tmp_path}/tokens}}")
        assert problem == "admin.open: it asks for a login, and is not open (expected one of the two)"

    def test_tokens(self, tmp_path):
        """As auth.tokens."""
        (tmp_path / "tokens").write_text("secret\n")
        [problem] = about("{endpoint: tcp:8080}", f"admin: {{endpoint: tcp:8081, tokens: {tmp_path}/tokens}}")
        assert problem.startswith(f"admin.tokens: {tmp_path}/tokens: line 1: expected sha256:HASH NAME")
        assert "secret" not in problem


class TlsTests:
    """Certificates and keys."""

    def test_readable(self, pem):
        """All three are there."""
        assert about(f"{{endpoint: tcp:8443, tls: {{cert: {pem}, key: {pem}, client_ca: {pem}}}}}") == []

    def test_proxies_that_nobody_trusts(self):
        """Then every connection would end at once."""
        assert about("{endpoint: tcp:1, proxy_protocol: true, trusted_proxies: [unix]}") == []
        assert about("{endpoint: tcp:1, proxy_protocol: true}") == [
            "listeners[0].proxy_protocol: whose header counts is not said, so nobody could come in (expected `trusted_proxies` with the address of the balancer)"
        ]

    def test_revocations_without_authorities(self, pem):
        """Nobody is asked for a certificate that could be revoked."""
        assert about(f"{{endpoint: tcp:8443, tls: {{cert: {pem}, key: {pem}, client_crl: {pem}}}}}") == [
            "listeners[0].tls.client_crl: without client_ca no certificate is asked for (expected `client_ca` beside it)"
        ]

    def test_not_there(self, tmp_path):
        """Each at its place."""
        text = relay_yaml(
            top=f"listeners:\n  - endpoint: tcp:8443\n    tls:\n      cert: {tmp_path}/none.pem\n      key: {tmp_path}"
        )
        assert problems(text) == [
            f"11:13: listeners[0].tls.cert: {tmp_path}/none.pem cannot be read: No such file or directory (expected a PEM file)",
            f"12:12: listeners[0].tls.key: {tmp_path} cannot be read: Is a directory (expected a PEM file)",
        ]

    def test_not_a_path(self, pem):
        """Not even that."""
        assert about(f'{{endpoint: tcp:1, tls: {{cert: "a\\0b", key: {pem}}}}}') == [
            "listeners[0].tls.cert: a\\u0000b cannot be read: not a path (expected a PEM file)"
        ]

    def test_placeholder(self, pem):
        """Only upstreams have placeholders."""
        assert about('{endpoint: tcp:1, tls: {cert: "${env.CERT}", key: PEM}}'.replace("PEM", str(pem))) == [
            "listeners[0].tls.cert: a placeholder stands only inside an upstream (expected the path of a file)"
        ]
