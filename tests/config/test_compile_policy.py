"""The numbers of an upstream's life."""

from __future__ import annotations

from relayd.config.compile_policy import compile_policy, compile_windows
from relayd.config.compile_upstream import compile_upstream
from relayd.config.load import loads
from relayd.config.model import Upstream
from relayd.core.windows import HostWindows


def upstream(block: str) -> Upstream:
    """One upstream with these further keys."""
    text = f"""
upstreams:
  up:
    connect: {{url: "ws://127.0.0.1:1/", within: 4s}}
    topic: {{at: {{symbol: s}}}}
    subscribe: {{within: 7s, send: {{op: $verb, symbol: $symbol}}}}
{block}
routes:
  - {{topic: t/$symbol, upstream: up, allow: {{symbol: [A]}}}}
"""
    return loads(text, "relay.yaml", {}).upstreams["up"]


class CompilePolicyTests:
    """From the file to the session."""

    def test_everything(self) -> None:
        """Each key arrives."""
        block = upstream(
            """
    login: [{send: {op: auth}, expect: {op: ready}, within: 3s}]
    reconnect: {min: 2s, max: 20s, settle: 9s}
    limits: {first_send: 5s}
    dial: start
"""
        )
        policy = compile_policy(compile_upstream(block), block)
        assert (policy.retry_least_s, policy.retry_most_s, policy.settle_s) == (2.0, 20.0, 9.0)
        assert (policy.handshake_within_s, policy.login_within_s, policy.first_send_s) == (4.0, 3.0, 5.0)
        assert policy.subscribe_within_s({"symbol": "A"}) == 7.0
        assert (policy.dial_at_start, policy.unasked) == (True, False)

    def test_without_login(self) -> None:
        """The default stands."""
        block = upstream("")
        assert compile_policy(compile_upstream(block), block).login_within_s == 10.0


class CompileWindowsTests:
    """Limits are the host's."""

    def test_shared_by_host(self) -> None:
        """Two upstreams of one host count together."""
        block = upstream("    limits: {connect: 1/10s}")
        dialect, hosts = compile_upstream(block), HostWindows()
        first, second = compile_windows(dialect, block, hosts), compile_windows(dialect, block, hosts)
        assert first.dial_free_at(0.0) == 0.0
        first.dialled(0.0)
        assert second.dial_free_at(0.0) >= 10.0

    def test_none(self) -> None:
        """No limits, no windows."""
        block = upstream("")
        windows = compile_windows(compile_upstream(block), block, HostWindows())
        assert (windows.connect, windows.send, windows.subscribe, windows.http) == (None, None, None, None)
