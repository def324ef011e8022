"""The `auth` block."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from relayd.config.model.auth import Auth


class AuthTests:
    """Keys of the file, units in the attributes."""

    def test_default(self):
        """As docs/reference/config.md says."""
        auth = Auth.model_validate({"tokens": "f"})
        assert (auth.jwt, auth.webhook, auth.from_, auth.within_s) == (None, None, ("header", "message"), 10.0)

    def test_written(self):
        """Everything there is."""
        auth = Auth.model_validate(
            {
                "jwt": {"jwks": "k", "algorithms": ["ES256"], "issuer": "i", "audience": ["a", "b"], "leeway": "1m"},
                "webhook": {
                    "url": "https://a.example:8443/x?y=1",
                    "timeout": "1s",
                    "cache": "0s",
                    "on_failure": "anonymous",
                },
                "from": ["cookie:__Host-sid", "query:access_token", "header", "message", "certificate"],
                "within": "5s",
                "allow_addresses": ["169.254.1.1"],
            }
        )
        jwt, webhook = auth.jwt, auth.webhook
        assert (jwt.jwks, jwt.algorithms, jwt.issuer, jwt.audience, jwt.leeway_s) == (
            "k", ("ES256",), "i", ("a", "b"), 60.0,
        )  # fmt: skip
        assert (webhook.url, webhook.timeout_s, webhook.cache_s, webhook.on_failure) == (
            "https://a.example:8443/x?y=1", 1.0, 0.0, "anonymous",
        )  # fmt: skip
        assert auth.from_ == ("cookie:__Host-sid", "query:access_token", "header", "message", "certificate")
        assert (auth.within_s, auth.allow_addresses) == (5.0, ("169.254.1.1/32",))

    def test_one_audience(self):
        """Without a list."""
        auth = Auth.model_validate({"jwt": {"jwks": "k", "algorithms": ["HS256"], "audience": "relayd"}})
        assert auth.jwt.audience == ("relayd",)
        assert auth.jwt.leeway_s == 30.0

    @pytest.mark.parametrize(
        "place", ["cookie", "cookie:", "cookie:a b", "cookie:a;b", "query:", "body:x", "", 5, "Header", "cookie:ä"]
    )
    def test_places(self, place):
        """Where no token can be."""
        with pytest.raises(ValidationError, match="not a place where a token is shown"):
            Auth.model_validate({"from": [place]})

    def test_no_place(self):
        """Then nobody could come."""
        with pytest.raises(ValidationError):
            Auth.model_validate({"from": []})

    @pytest.mark.parametrize(
        ("url", "what"),
        [
            ("ftp://a/b", "not a URL of http: or https:"),
            ("https://", "not a URL of http"),
            ("https:///x", "not a URL of http"),
            ("/auth", "not a URL of http"),
            ("https://a:0/", "not a URL of http"),
            ("https://a:99999/", "not a URL"),
            ("https://[x/", "not a URL"),
            ("https://a b/", "not a URL"),
            ("https://ä/", "not a URL"),
            (5, "not a URL"),
            ("https://{iss}/", "not a URL"),
            ("https://u:p@a/", "a URL here has no user"),
            ("https://a/#x", "a URL here has no user and no fragment"),
            ("https://${env.HOST}/", "a placeholder stands only inside an upstream"),
        ],
    )
    def test_urls(self, url, what):
        """Only what can be asked, and no name and password that an error could show."""
        with pytest.raises(ValidationError, match=what):
            Auth.model_validate({"webhook": {"url": url}})

    @pytest.mark.parametrize("algorithm", ["none", "es256", "ES256K", "RSA-OAEP", "dir"])
    def test_algorithms(self, algorithm):
        """A closed list, without `none`."""
        with pytest.raises(ValidationError):
            Auth.model_validate({"jwt": {"jwks": "k", "algorithms": [algorithm]}})
