"""`relayd demo`: the simulated exchange and a relay before it in one process, without a file, on loopback only."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from twisted.application.service import MultiService
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.logger import globalLogBeginner
from twisted.web.resource import IResource

from relayd.config import model
from relayd.config.load import loads
from relayd.demo.exchange import LOOPBACK, ExchangeService, make_exchange
from relayd.demo.site import extra_resources
from relayd.io import logs
from relayd.io.endpoints import ListenError
from relayd.io.listener import ListenerService

#: The name by which relay.yaml asks for the exchange's port.
EXCHANGE_PORT: Final = "RELAYD_DEMO_EXCHANGE_PORT"
TOPIC: Final = "demo/ticker/BTC-USD"


@dataclass(frozen=True, slots=True)
class Demo:
    """What a demo is made of: `config` and `environ` for the relay, `extra` for its listener, and the `exchange`."""

    config: model.Config
    environ: Mapping[str, str]
    extra: Mapping[bytes, IResource]
    exchange: ExchangeService


def build_demo(port: int, admin_port: int, reactor: Any, *, seed: int | None = None) -> Demo:
    """The parts of a demo on these ports of loopback, 0 for any free one.

    The exchange listens from here on, since the relay must know its port; the rest waits for its start.
    """
    exchange = make_exchange(reactor, seed=seed)
    environ = {EXCHANGE_PORT: str(exchange.bind())}
    text = (files("relayd.demo") / "relay.yaml").read_text("utf-8")
    config = loads(text, "relayd/demo/relay.yaml", environ)
    [listener], admin = config.listeners, config.admin
    assert admin is not None, "relay.yaml has an admin listener"
    config = config.model_copy(update={
        "listeners": (listener.model_copy(update={"endpoint": _endpoint(port)}),),
        "admin": admin.model_copy(update={"endpoint": _endpoint(admin_port)}),
    })
    return Demo(config, environ, extra_resources(exchange.floor), exchange)


def _endpoint(port: int) -> str:
    return f"tcp:{port}:interface={LOOPBACK}"


def run(port: int, admin_port: int) -> None:
    """Run the demo until it is told to stop (SIGINT, SIGTERM); `relayd demo` calls this.

    Raises SystemExit: with status 0 after a stop, with a sentence where a port is taken.
    """
    task.react(_main, (port, admin_port))


def _main(reactor: Any, port: int, admin_port: int) -> Deferred[None]:
    from relayd.app import build

    # Twisted's timers follow the wall clock: set forward by an hour, it would fire every timeout at once.
    reactor.seconds = time.monotonic
    counters = logs.LogCounters()
    observer = logs.observer(sys.stderr, time.monotonic, counters=counters)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    demo = build_demo(port, admin_port, reactor)
    whole = MultiService()
    demo.exchange.setServiceParent(whole)
    relay = build(demo.config, reactor, time.monotonic, environ=demo.environ, extra=demo.extra, log_counters=counters)
    relay.setServiceParent(whole)
    try:
        whole.privilegedStartService()
        whole.startService()
    except ListenError as error:
        raise SystemExit(f"relayd demo: {error}\nOther ports: relayd demo --port 8090 --admin-port 8091") from None
    reactor.addSystemEventTrigger("before", "shutdown", whole.stopService)
    reactor.addSystemEventTrigger("after", "shutdown", observer.flush)
    print(welcome(*_open_ports(relay)), flush=True)
    return Deferred()


def _open_ports(service: Any) -> list[int]:
    """The ports that are listened on, browsers' first."""
    if isinstance(service, ListenerService):
        assert service.port is not None
        host: Any = service.port.getHost()
        return [int(host.port)]
    if isinstance(service, MultiService):
        return [port for part in service for port in _open_ports(part)]
    return []


def welcome(port: int, admin_port: int) -> str:
    """What to open and what to try next; every line works exactly as it is printed."""
    return f"""
relayd demo: a simulated exchange, relayed to as many browsers as come.

  Open        http://{LOOPBACK}:{port}/
  Operators   http://{LOOPBACK}:{admin_port}/metrics

Read a topic from anywhere:

  curl        curl http://{LOOPBACK}:{port}/topics/{TOPIC}
  Python      python3 -c '{python_line(port)}'
  JavaScript  {javascript_line(port)}
              (in the console of the page above: F12)

Ctrl-C ends it. The feed's own file is a good beginning for yours: {files("relayd.demo") / "relay.yaml"}
"""


def python_line(port: int) -> str:
    """A program that reads the newest price with nothing but Python."""
    return f'import urllib.request as u; print(u.urlopen("http://{LOOPBACK}:{port}/topics/{TOPIC}").read().decode())'


def javascript_line(port: int) -> str:
    """A program that follows the price with nothing but a browser."""
    return f'new WebSocket("ws://{LOOPBACK}:{port}/ws?topics={TOPIC}").onmessage = (m) => console.log(m.data)'
