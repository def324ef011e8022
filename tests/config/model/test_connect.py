"""How an upstream is dialled and logged in to."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from relayd.config.expressions import CodeRange, Hours
from relayd.config.model.connect import Connect, Hmac, LoginStep, Reconnect, Silence, UpstreamLimits
from relayd.config.scalars import OFF, Rate


class ConnectTests:
    """Where it is."""

    def test_default(self):
        """Only the URL must be said."""
        connect = Connect.model_validate({"url": "wss://a"})
        assert (connect.protocols, connect.before, connect.refresh, connect.max_age_s, connect.hosts) == (
            (),
            (),
            None,
            None,
            (),
        )
        assert (connect.tls.ca, connect.within_s, connect.query, connect.headers) == (None, 10.0, None, None)

    def test_written(self):
        """Everything there is."""
        step = {
            "http": {"method": "POST", "url": "https://a"},
            "save": {"token": "data.token", "n": ["a", 0]},
            "keep": "until-refused",
            "within": "5s",
        }
        data = {
            "url": "$host",
            "query": {"t": "$topics"},
            "headers": {"A": "${env.A}"},
            "protocols": ["a"],
            "before": [step],
            "refresh": {"every": "30m", "http": {"url": "https://a", "json": {"a": None}}, "save": {"token": "t"}},
            "max_age": "23h30m",
            "hosts": ["*.example.com"],
            "tls": {"ca": "ca.pem"},
            "within": "3s",
        }
        connect = Connect.model_validate(data)
        assert connect.before[0].save == {"token": ("data.token",), "n": ("a", "0")}
        assert (connect.before[0].keep, connect.before[0].within_s) == ("until-refused", 5.0)
        assert connect.refresh is not None and connect.refresh.every_s == 1800.0
        assert connect.refresh.http.json_ == {"a": None}
        assert (connect.max_age_s, connect.within_s, connect.tls.ca) == (84_600.0, 3.0, "ca.pem")
        assert Connect.model_validate({"url": "a", "max_age": OFF}).max_age_s is None


class LoginTests:
    """Steps and signatures."""

    def test_set(self):
        """A table with `hmac` is a signature, anything else a template."""
        signature = {"hmac": "sha256", "key": "${env.K}", "text": "$ts"}
        step = LoginStep.model_validate({"set": {"ts": "$now", "sig": signature, "x": {"a": [1]}}, "send": "$sig"})
        assert step.set["sig"] == Hmac.model_validate(signature)
        assert isinstance(step.set["sig"], Hmac) and (step.set["sig"].key_is, step.set["sig"].out) == ("text", "hex")
        assert (step.set["ts"], step.set["x"]) == ("$now", {"a": [1]})
        assert LoginStep.model_validate({"set": {"sig": Hmac.model_validate(signature)}}).set["sig"] == step.set["sig"]

    @pytest.mark.parametrize(
        "signature",
        [{"hmac": "md5", "key": "k", "text": "t"}, {"hmac": "sha1"}, {"hmac": "sha1", "key": "k", "text": "t", "x": 1}],
    )
    def test_bad_signature(self, signature):
        """It is no template by mistake."""
        with pytest.raises(ValidationError):
            LoginStep.model_validate({"set": {"sig": signature}})


class HealthTests:
    """Watchdogs, limits, delays."""

    def test_silence(self):
        """Off, or seconds."""
        silence = Silence.model_validate({"any": "5s", "data": OFF, "hours": "09:00-15:30 UTC mon"})
        assert (silence.any_s, silence.data_s, silence.hours) == (5.0, None, Hours(((540, 930),), "UTC", (0,)))
        assert Silence().model_dump() == {"any_s": None, "data_s": None, "hours": None}

    def test_limits(self):
        """Counts, rates, a deadline."""
        limits = UpstreamLimits.model_validate(
            {"topics": 50, "connections": 1, "send": "8/1s", "http": "10/1s", "first_send": "5s"}
        )
        assert (limits.topics, limits.connections, limits.send, limits.connect, limits.first_send_s) == (
            50,
            1,
            Rate(8, 1.0),
            None,
            5.0,
        )

    def test_reconnect(self):
        """Codes and ranges."""
        reconnect = Reconnect.model_validate(
            {"min": "500ms", "codes": {1008: "2m", "4400-4499": "stop"}, "status": {429: "wait"}}
        )
        assert (reconnect.min_s, reconnect.max_s, reconnect.settle_s) == (0.5, 60.0, 30.0)
        assert reconnect.codes == {CodeRange(1008, 1008): 120.0, CodeRange(4400, 4499): "stop"}
        assert reconnect.status == {CodeRange(429, 429): "wait"}
