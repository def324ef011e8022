"""The admin listener: alive, ready, counted, described."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, readBody

from relayd.core.counters import UpstreamCounters
from relayd.core.upstream.states import State
from relayd.io.admin import AdminSources, build_admin
from relayd.io.listener import ListenerService
from relayd.io.logs import LogCounters
from tests.support.relay_rig import Relay, eventually, reactor


def upstream(state: State, why: str = "", **connection: float) -> Any:
    """What the admin listener sees of an upstream with one connection."""
    what = {
        "state": state,
        "why": why,
        "counters": UpstreamCounters(topics=2, received=5, losses=1),
        "connection": SimpleNamespace(**connection) if connection else None,
    }
    link = SimpleNamespace(number=1, session=SimpleNamespace(**what, topics=("a", "b")))
    return SimpleNamespace(**what, all=[link])


class AdminTests(TestCase):
    """Everything it answers, over a real connection beside a real relay."""

    def setUp(self) -> None:
        self.relay = Relay()
        self.relay.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.relay.close()))
        self.reason: str | None = None
        self.upstreams: dict[str, Any] = {}
        self.sources = AdminSources(
            hub=self.relay.hub,
            clients=self.relay.clients,
            guards=self.relay.guards.counters,
            upstreams=self.upstreams,
            monotonic=lambda: 1000.0,
            not_ready=(self.relay.service.not_ready, lambda: self.reason),
        )
        self.admin = ListenerService("tcp:0:interface=127.0.0.1", build_admin(self.sources, reactor), reactor)
        self.admin.startService()
        self.addCleanup(self.admin.stopService)

    async def ask(self, path: str) -> tuple[int, Any, bytes]:
        """Status, headers, body."""
        address: Any = self.admin.port
        url = f"http://127.0.0.1:{address.getHost().port}{path}".encode()
        response = await Agent(reactor).request(b"GET", url)
        return response.code, response.headers, await readBody(response)

    async def metrics(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Every sample by name and labels."""
        status, headers, body = await self.ask("/metrics")
        assert status == 200
        assert headers.getRawHeaders("content-type")[0].startswith("text/plain")
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in text_string_to_metric_families(body.decode()):
            assert family.documentation
            for sample in family.samples:
                found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
        return found

    async def test_certificates(self) -> None:
        """In days from now; of those that are known."""
        self.sources.wall = lambda: 86_400.0
        self.sources.certificates = lambda: [("listener", "tcp:443", 3 * 86_400.0), ("upstream", "feed", 0.0)]
        found = await self.metrics()
        self.assertEqual(found["relayd_listener_certificate_days"], {(("listener", "tcp:443"),): 2.0})
        self.assertEqual(found["relayd_upstream_certificate_days"], {(("upstream", "feed"),): -1.0})

    async def test_live(self) -> None:
        """As long as it answers."""
        status, headers, body = await self.ask("/live")
        assert (status, body) == (200, b'{"status":"live"}')
        assert headers.getRawHeaders("cache-control") == ["no-store"]

    async def test_ready(self) -> None:
        """When every listener is open; 503 with the reasons before, and in a drain."""
        assert (await self.ask("/ready"))[::2] == (200, b'{"status":"ready"}')
        self.reason = "draining"
        assert (await self.ask("/ready"))[::2] == (503, b'{"status":"not ready","reasons":["draining"]}')
        await self.relay.close()
        status, _, body = await self.ask("/ready")
        assert status == 503
        assert b'"the listener tcp:0:interface=127.0.0.1 is not open","draining"' in body

    async def test_metrics_follow_the_counters(self) -> None:
        """What has happened is counted, under names that say what they are; times as a histogram."""
        browser = await self.relay.browse("/ws?topics=t/a")
        await browser.until(lambda: len(browser.messages) == 2)
        self.relay.publish("t/a", b"12345")
        self.relay.clients.counters.rtt.observe(0.02)
        await self.relay.browse("/nothing")
        metrics = await self.metrics()
        assert metrics["relayd_clients_opened_total"] == {(): 1}
        assert metrics["relayd_clients_open"] == {(): 1}
        assert metrics["relayd_hub_publications_total"] == {(): 1}
        assert metrics["relayd_hub_payload_bytes_total"] == {(): 5}
        assert metrics["relayd_hub_topics"] == {(): 1}
        assert metrics["relayd_guard_refused_total"][("why", "no_websocket_here"),] == 1
        assert metrics["relayd_ready"] == {(): 1}
        assert "relayd_log_suppressed_total" not in metrics
        self.sources.log = LogCounters(suppressed=3)
        assert (await self.metrics())["relayd_log_suppressed_total"] == {(): 3}
        buckets = metrics["relayd_clients_rtt_seconds_bucket"]
        assert (buckets[("le", "0.01"),], buckets[("le", "0.025"),], buckets[("le", "+Inf"),]) == (0, 1, 1)
        assert metrics["relayd_clients_rtt_seconds_sum"] == {(): 0.02}
        assert metrics["process_open_fds"][()] > 0
        browser.send(8, b"\x03\xe8")
        await eventually(lambda: not self.relay.clients.open)
        metrics = await self.metrics()
        assert metrics["relayd_clients_closed_total"][("cause", "client"),] == 1
        assert metrics["relayd_clients_closed_total"][("cause", "slow"),] == 0
        assert metrics["relayd_clients_open"] == {(): 0}

    async def test_metrics_of_upstreams(self) -> None:
        """One label, the upstream's name, which the operator chose."""
        self.upstreams |= {"coinbase": upstream(State.LIVE), "plant": upstream(State.BACKOFF)}
        self.upstreams["plant"].counters.received = 9
        metrics = await self.metrics()
        assert metrics["relayd_upstream_received_total"] == {
            (("upstream", "coinbase"),): 5,
            (("upstream", "plant"),): 9,
        }

    async def test_no_label_that_a_client_chooses(self) -> None:
        """Neither topics nor addresses: their number is not ours."""
        browser = await self.relay.browse("/ws?topics=t/a-topic-of-a-client")
        await browser.until(lambda: len(browser.messages) == 2)
        _, _, body = await self.ask("/metrics")
        assert b"a-topic-of-a-client" not in body
        assert b"127.0.0.1" not in body

    async def test_open_metrics(self) -> None:
        """Prometheus asks for OpenMetrics, and gets it."""
        from twisted.web.http_headers import Headers

        address: Any = self.admin.port
        url = f"http://127.0.0.1:{address.getHost().port}/metrics".encode()
        accept = Headers({"accept": ["application/openmetrics-text; version=1.0.0"]})
        response = await Agent(reactor).request(b"GET", url, accept)
        body = await readBody(response)
        assert response.headers.getRawHeaders("content-type")[0].startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")

    async def test_status(self) -> None:
        """Upstreams with their state and ages, topics, connections."""
        import json

        self.upstreams |= {
            "coinbase": upstream(State.LIVE, open_at=900.0, data_at=998.5),
            "quiet": upstream(State.LIVE, open_at=900.0, data_at=float("-inf")),
            "plant": upstream(State.BACKOFF, "refused with 503"),
        }
        browser = await self.relay.browse("/ws?topics=t/a")
        await browser.until(lambda: len(browser.messages) == 2)
        status, _, body = await self.ask("/status")
        assert status == 200
        said = json.loads(body)
        assert (said["ready"], said["connections"], said["topics"]) == (True, 1, 1)
        about = {
            "state": State.LIVE.value,
            "why": "",
            "topics": 2,
            "connected_s": 100.0,
            "data_age_s": 1.5,
            "received": 5,
            "losses": 1,
        }
        assert said["upstreams"]["coinbase"] == about | {"connections": [about | {"number": 1}]}
        assert said["upstreams"]["quiet"]["data_age_s"] is None
        assert said["upstreams"]["plant"]["why"] == "refused with 503"
        assert said["upstreams"]["plant"]["connected_s"] is None

    async def test_everything_else_is_404(self) -> None:
        """Also below what there is."""
        for path in ("/", "/metricsx", "/x/y"):
            status, _, body = await self.ask(path)
            assert status == 404, path
            assert b'"code": "unknown_path"' in body or b'"code":"unknown_path"' in body
