"""The `listeners` and `admin` blocks."""

from __future__ import annotations

from relayd.config.model.listener import Admin, Listener


class ListenerTests:
    """Where browsers come in."""

    def test_default(self):
        """Safe without any thought."""
        listener = Listener.model_validate({"endpoint": "tcp:8080"})
        assert listener.model_dump() == {
            "endpoint": "tcp:8080",
            "tls": None,
            "origins": ("same",),
            "require_origin": False,
            "trusted_proxies": (),
            "proxy_protocol": False,
            "prefix": "",
        }

    def test_written(self):
        """Everything there is."""
        data = {
            "endpoint": "tcp6:8443",
            "tls": {"cert": "c.pem", "key": "k.pem", "client_ca": "ca.pem"},
            "origins": ["https://App.example.com", "null"],
            "require_origin": True,
            "trusted_proxies": ["10.0.0.1", "unix"],
            "proxy_protocol": True,
            "prefix": "/live",
        }
        listener = Listener.model_validate(data)
        assert listener.tls is not None and listener.tls.client_ca == "ca.pem"
        assert listener.origins == ("https://app.example.com", "null")
        assert listener.trusted_proxies == ("10.0.0.1/32", "unix")

    def test_admin(self):
        """An endpoint is enough."""
        admin = Admin.model_validate({"endpoint": "tcp:8081:interface=127.0.0.1"})
        assert (admin.endpoint, admin.tls, admin.tokens) == ("tcp:8081:interface=127.0.0.1", None, None)
        assert admin.open is False
