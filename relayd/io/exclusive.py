"""The upstream connections of exclusive routes: one for each browser, dialled when it comes, gone when it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList

from relayd.core.bridge import Bridge, Bridges
from relayd.core.mishap import BRIDGE, UPSTREAM, Report
from relayd.core.upstream.effects import Dial, Effect, Loss, Note
from relayd.io.reactor import next_turn_of
from relayd.io.ticker import Ticker
from relayd.io.upstream import UpstreamService, UpstreamSocket
from relayd.io.upstream_protocol import FAULT, UpstreamProtocol


class ExclusiveUpstream(UpstreamService):
    """The sockets of one browser's upstream. It says nothing in the log: what a browser makes happen would fill it."""

    bridge: Bridge

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._is_held = False
        self._is_open = False
        self._code: int | None = None

    def ask(self) -> None:
        """The bridge is what is wanted of it: dial, and subscribe where the upstream must be asked."""
        self.session.want(self.bridge, self.bridge.fields, self.monotonic())
        self._ticker.wake()

    def hold(self, held: bool) -> None:
        """Read nothing of the upstream, or go on."""
        self._is_held = held
        if isinstance(self._protocol, UpstreamProtocol):
            self._protocol.hold(held)

    def tick(self, now: float) -> None:
        if self._is_held:
            # What it sends waits in the kernel, its pongs too: it cannot be called silent.
            self.session.pong(now)
        try:
            super().tick(now)
        except Exception:  # the ticker reports it
            self._fail_bridge()
            raise

    def failed(self, protocol: UpstreamSocket | None = None, loss: Loss = FAULT) -> None:
        """There is no second dial: the browser is told, and comes back if it likes."""
        super().failed(protocol, loss)
        self._fail_bridge()

    def _fail_bridge(self) -> None:
        try:
            self.bridge.failed()
        except Exception:
            self._ticker.report(BRIDGE)

    def abandon(self) -> None:
        """It could not be stopped in good order: its socket is cut, and nobody is told."""
        try:
            self._drop()
        except Exception:
            self._ticker.report(UPSTREAM)

    def lost(self, protocol: Any, loss: Loss) -> None:
        self._code = loss.code
        super().lost(protocol, loss)

    def ws_open(self) -> None:
        """The handshake is done. In another subprotocol than the browser was answered the two would not understand
        each other."""
        told = self.bridge.subprotocol
        if told is None or getattr(self._protocol, "websocket_protocol_in_use", None) == told:
            super().ws_open()
            return
        with self._net():
            self.bridge.ended(None, refused=False)

    def _carry_out(self, effects: Any) -> None:
        super()._carry_out(effects)
        connection = self.session.connection
        if connection is not None and connection.ready and not self._is_open:
            self._is_open = True
            self.bridge.opened()

    def _carry_out_one(self, effect: Effect) -> None:
        if isinstance(effect, Dial) and self.bridge.subprotocol is not None:
            effect = Dial(replace(effect.request, protocols=(self.bridge.subprotocol,)))
        if not isinstance(effect, Note):
            super()._carry_out_one(effect)
        elif effect.event in ("close", "unreachable", "refused"):
            self.bridge.ended(self._code, refused=effect.event == "refused")


class Build(Protocol):
    """Makes the upstream of one bridge, not started; `values` are those of its `${browser.X}`."""

    def __call__(self, bridge: Bridge, values: Mapping[str, str], ticker: Ticker) -> ExclusiveUpstream: ...


class _Line:
    """One of them, with a ticker of its own: a thousand would slow down the one that all others share."""

    def __init__(self, upstream: ExclusiveUpstream, ticker: Ticker, bridge: Bridge, lines: ExclusiveLines) -> None:
        self.way = upstream.way
        self._upstream = upstream
        self._ticker = ticker
        self._lines = lines
        self._has_ended = False
        upstream.bridge = bridge

    def begin(self) -> None:
        """Dial, on a turn of its own: what comes of it must find the bridge made."""
        if self._has_ended:
            return
        try:
            self._ticker.startService()
            self._upstream.startService()
            self._upstream.ask()
        except Exception:
            self._upstream.failed()

    def hold(self, held: bool) -> None:
        self._upstream.hold(held)

    def end(self) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        if not self._upstream.running:
            self._lines.ended(self, None)
            return
        try:
            self._upstream.hold(False)
            stopped = self._upstream.stopService()
        except Exception:
            self._ticker.report(UPSTREAM)
            self._upstream.abandon()
            self._lines.ended(self, None)
        else:
            self._lines.ended(self, stopped)

    def done(self) -> None:
        """The socket is gone."""
        if self._ticker.running:
            self._ticker.stopService()


class ExclusiveLines(Service):
    """All of them. Stopping it waits for those that are hanging up."""

    def __init__(self, build: Build, reactor: Any, monotonic: Callable[[], float], report: Report) -> None:
        """`report` hears of an error on behalf of one of them, while that is handled."""
        self.setName("exclusive upstreams")
        self.bridges: Bridges
        self._build = build
        self._reactor = reactor
        self._monotonic = monotonic
        self._report = report
        self._ending: set[Deferred[None]] = set()

    def open(self, bridge: Bridge, values: Mapping[str, str]) -> _Line:
        """For `Bridges`."""
        ticker = Ticker(self._reactor, self._monotonic)
        ticker.report = self._report
        line = _Line(self._build(bridge, values, ticker), ticker, bridge, self)
        next_turn_of(self._reactor)(line.begin)
        return line

    def ended(self, line: _Line, stopped: Deferred[None] | None) -> None:
        """A line hangs up; `stopped` fires when its socket is gone."""
        if stopped is None:
            self._gone(line)
            return
        self._ending.add(stopped)

        def gone(_: object) -> None:
            self._ending.discard(stopped)
            self._gone(line)

        stopped.addBoth(gone)

    def _gone(self, line: _Line) -> None:
        self.bridges.ended()
        line.done()

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        return DeferredList(list(self._ending))
