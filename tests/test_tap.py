"""relayd under twistd, without a process of its own: options, the log that twistd asks for, the clock, the start."""

from __future__ import annotations

import gc
import json
import signal
import sys
import time
from pathlib import Path

import pytest
from twisted.application.service import Application, IService, MultiService
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, LogLevel
from twisted.python import usage
from twisted.scripts.twistd import ServerOptions

from relayd import tap
from relayd.io.endpoints import ListenError

CONFIG = """\
listeners: [{endpoint: "tcp:0:interface=127.0.0.1"}]
upstreams:
  feed:
    connect: {url: "ws://127.0.0.1:9/"}
    topic: {at: {symbol: s}}
    subscribe: {send: {op: $verb, symbol: $symbol}}
routes: [{topic: m/$symbol, upstream: feed, allow: {symbol: [A]}}]
"""


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """What tap changes in its process is put back."""
    from twisted.internet import reactor

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reactor, "seconds", reactor.seconds)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, *tap.ENDS)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def parse(*args: str, text: str = CONFIG) -> tap.Options:
    """The options behind `twistd`, with a relay.yaml of this text in the current folder."""
    Path("relay.yaml").write_text(text)
    twistd = ServerOptions()
    twistd.parseOptions([*args, "relayd", "-c", "relay.yaml"])
    return twistd.subOptions


def event(message: str = "hello", **fields: object) -> LogEvent:
    """A log event."""
    return {"log_time": 0.0, "log_level": LogLevel.info, "log_namespace": "relayd.x", "log_format": message, **fields}


class OptionsTests:
    """What is refused before anything starts."""

    def test_good(self):
        """The configuration is there, typed."""
        assert list(parse("-n").config.upstreams) == ["feed"]

    def test_errors(self):
        """The end, with all errors as its text."""
        with pytest.raises(SystemExit) as end:
            parse(text="a: 1\n")
        assert str(end.value).startswith("relay.yaml:1:1: ")

    def test_no_file_named(self):
        """Which option is missing."""
        with pytest.raises(usage.UsageError, match=r"twistd relayd -c relay\.yaml"):
            ServerOptions().parseOptions(["relayd"])

    def test_check(self, capsys: pytest.CaptureFixture[str]):
        """--check ends well, and looks at nothing but the file."""
        Path("relay.yaml").write_text(CONFIG)
        with pytest.raises(SystemExit) as end:
            ServerOptions().parseOptions(["--pidfile=/no/such", "relayd", "-c", "relay.yaml", "--check"])
        assert end.value.code == 0
        assert capsys.readouterr().out == "relay.yaml: no errors\n"

    @pytest.mark.parametrize("option", ["--pidfile=no/relayd.pid", "--logfile=no/relayd.log"])
    def test_unwritable(self, option: str):
        """The file, the reason, the remedy."""
        with pytest.raises(SystemExit, match=r"no/relayd\.\w+ cannot be written: No such file .*; name another"):
            parse(option)

    def test_trying_leaves_nothing_behind(self):
        """Neither a new pidfile nor a new log; an old log keeps its lines."""
        Path("twistd.log").write_text("old")
        parse()
        assert sorted(path.name for path in Path().iterdir()) == ["relay.yaml", "twistd.log"]
        assert Path("twistd.log").read_text() == "old"

    def test_in_a_chroot(self):
        """There the paths mean something else, so they are not tried here."""
        assert parse("--chroot=/srv", "--pidfile=/no/such").config


class ServiceTests:
    """What twistd is given."""

    def application(self, options: tap.Options) -> Application:
        """As twistd puts it together."""
        application = Application("relayd")
        tap.makeService(options).setServiceParent(application)
        return application

    def test_clock(self):
        """Twisted's timers follow a clock that nobody sets."""
        from twisted.internet import reactor

        self.application(parse("-n"))
        assert reactor.seconds is time.monotonic

    def test_log_in_front(self, capsys: pytest.CaptureFixture[str]):
        """To stderr."""
        observer = self.application(parse("-n")).getComponent(ILogObserver)
        observer(event())
        assert capsys.readouterr().err == "1970-01-01 00:00:00.000Z info  x           hello\n"

    def test_log_without_secrets(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        """What relay.yaml takes from the environment is masked, wherever it turns up."""
        monkeypatch.setenv("FEED_KEY", "hunter2")
        text = CONFIG.replace("127.0.0.1:9/", "127.0.0.1:9/?key=${env.FEED_KEY}")
        self.application(parse("-n", text=text)).getComponent(ILogObserver)(event("got {what}", what="hunter2!"))
        assert capsys.readouterr().err.endswith("got ***!\n")

    def test_log_to_stdout(self, capsys: pytest.CaptureFixture[str]):
        """Where --logfile=- asks for it; as JSON where relay.yaml does."""
        options = parse("-n", "--logfile=-", text=CONFIG + "log: {format: json, level: warn}\n")
        observer = self.application(options).getComponent(ILogObserver)
        observer(event())
        observer(event("careful", log_level=LogLevel.warn))
        assert json.loads(capsys.readouterr().out)["message"] == "careful"

    def test_log_of_a_daemon(self):
        """To twistd.log, which SIGUSR1 rotates."""
        observer = self.application(parse()).getComponent(ILogObserver)
        observer(event())
        assert Path("twistd.log").read_text().endswith("hello\n")
        assert signal.getsignal(signal.SIGUSR1) not in (signal.SIG_DFL, None)

    @pytest.mark.parametrize("option", ["--syslog", "--logger=twisted.logger.globalLogPublisher"])
    def test_other_log(self, option: str):
        """Whoever asks twistd for another log gets it."""
        assert self.application(parse("-n", option)).getComponent(ILogObserver, None) is None

    def test_flushes_the_log_at_the_end(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        """What was held back is counted in the last lines, when all else has stopped."""
        monkeypatch.setattr("relayd.app.build", lambda *_, **__: MultiService())
        application = self.application(parse("-n"))
        observer = application.getComponent(ILogObserver)
        for _ in range(15):
            observer(event("careful", log_level=LogLevel.warn))
        IService(application).stopService()
        assert capsys.readouterr().err.endswith("careful  suppressed=5\n")


class EndTests:
    """SIGTERM and Ctrl-C."""

    @pytest.mark.parametrize("number", tap.ENDS)
    def test_first_drains_second_hurries_third_kills(self, monkeypatch: pytest.MonkeyPatch, number: signal.Signals):
        """Each on the reactor's own turn; from the second on the system's own handlers are in place."""
        hurried: list[str] = []

        class Relay(MultiService):
            """What is drained."""

            class draining:
                """Says what it was told."""

                @staticmethod
                def hurry() -> None:
                    hurried.append("more")

        monkeypatch.setattr("relayd.app.build", lambda *_, **__: Relay())
        reactor = MemoryReactorClock()
        monkeypatch.setattr("twisted.internet.reactor", reactor)
        stopped: list[object] = []
        reactor.callFromThread = stopped.append
        try:
            tap.makeService(parse("-n")).startService()
            assert gc.get_freeze_count() > 0  # what has started is not looked at again
        finally:
            gc.unfreeze()
        reactor.advance(0)
        signal.raise_signal(number)
        assert stopped == [reactor.stop]
        signal.raise_signal(number)
        assert (len(stopped), hurried) == (2, [])
        stopped[1]()
        assert hurried == ["more"]
        assert {signal.getsignal(one) for one in tap.ENDS} == {signal.SIG_DFL}


class StartTests:
    """A place where relayd cannot run."""

    def test_cannot_listen(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        """twistd gets the sentence; the traceback that it would print is left out; others are not."""

        def refuse(self: object) -> None:
            raise ListenError("tcp:80", "the port is in use", "choose another")

        daemon = tap.makeService(parse("-n"))
        monkeypatch.setattr("twisted.application.service.MultiService.privilegedStartService", refuse)
        with pytest.raises(tap.StartError, match="on tcp:80: the port is in use; choose another") as refused:
            daemon.privilegedStartService()
        sys.excepthook(refused.type, refused.value, refused.tb)
        assert capsys.readouterr().err == ""
        sys.excepthook(ValueError, ValueError("other"), None)
        assert "ValueError: other" in capsys.readouterr().err
