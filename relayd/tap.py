"""relayd under twistd: its options, and the service that twistd runs. Thin: `app.build` puts the program together."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.application.service import MultiService
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.logfile import LogFile

from relayd.config.load import load
from relayd.config.model import Config
from relayd.config.secret_values import secret_values
from relayd.core.errors import ConfigErrors
from relayd.io import logs
from relayd.io.certificates import CertificateError
from relayd.io.endpoints import ListenError

# twistd would rotate at 1 MB and keep every file. Guess: 100 MiB hold weeks of one line at open and one at close.
LOG_FILE_BYTES = 10 * 1024 * 1024
LOG_FILES_KEPT = 9

ENDS = (signal.SIGTERM, signal.SIGINT)

log = Logger()


class StartError(Exception):
    """relayd cannot start here, and why. Of a daemon's twistd prints 100 characters with the name, so that is short."""


class Options(usage.Options):
    """What may stand behind `twistd relayd`. An error ends the program here, before it becomes a daemon."""

    synopsis = "[options]"
    longdesc = "Bridges upstream feeds to many browsers, as relay.yaml says. To try it without a file: relayd demo"
    optParameters = (("config", "c", None, "The configuration file."),)
    optFlags = (("check", None, "Check the configuration and exit."),)

    config: Config

    def postOptions(self) -> None:
        """Reads the configuration and tries the files that twistd will write.

        Raises:
            UsageError: no configuration is named.
            SystemExit: the configuration, the pidfile or the log file is no good; its text is what a person reads.
                (A UsageError would drown it: twistd prints sixty lines of its own options first.)
        """
        if not self["config"]:
            raise usage.UsageError("which configuration? Name it: twistd relayd -c relay.yaml")
        try:
            self.config = load(self["config"], os.environ)
        except ConfigErrors as errors:
            raise SystemExit(str(errors)) from None
        if self["check"]:
            print(f"{self['config']}: no errors")
            raise SystemExit(0)
        twistd: Any = self.parent
        if not twistd.get("chroot"):  # inside a chroot the paths mean something else
            _require_writable("pidfile", twistd["pidfile"], "name another with --pidfile=FILE, or none: --pidfile=")
            _require_writable("log file", _log_path(twistd), "name another with --logfile=FILE, or use -n")


def makeService(options: Options) -> MultiService:
    """All of relayd, ready to start, from options that were parsed."""
    from relayd.io.reactor import install

    install()
    from twisted.internet import reactor

    from relayd.app import build

    # Twisted's timers follow the wall clock: set forward by an hour, it would fire every timeout at once.
    reactor.seconds = time.monotonic  # type: ignore[method-assign]  # of this one alone
    counters = logs.LogCounters()
    relay: Any = build(options.config, reactor, time.monotonic, log_counters=counters)
    daemon = _Daemon(options, lambda: relay.draining.hurry(), counters)
    relay.setServiceParent(daemon)
    return daemon


class _Daemon(MultiService):
    """Everything relayd runs, and the log that twistd writes while it does."""

    def __init__(self, options: Options, hurry: Callable[[], object], counters: logs.LogCounters) -> None:
        super().__init__()
        self._options = options
        self._counters = counters
        self._hurry = hurry
        self._observer: logs.Floodgate | None = None

    def setServiceParent(self, parent: Any) -> None:
        """Joins twistd's application, which asks it for a log before it makes one of its own."""
        twistd: Any = self._options.parent
        if not (twistd["logger"] or twistd.get("syslog")):  # whoever asks for another log gets it
            config = self._options.config
            self._observer = logs.observer(
                _log_stream(_log_path(twistd)),
                time.monotonic,
                format=config.log.format,
                level=config.log.level,
                secrets=secret_values(config, os.environ),
                counters=self._counters,
            )
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Opens what is listened on.

        Raises:
            StartError: that is not possible. It is in the log in one line; twistd ends with exit status 1.
        """
        try:
            super().privilegedStartService()
        except (ListenError, CertificateError) as error:
            log.critical("cannot start: {why}", why=str(error))
            sys.excepthook = _without_start_errors
            raise StartError(str(error)) from None

    def startService(self) -> None:
        """Starts everything, and takes the signals that end it."""
        super().startService()
        from twisted.internet import reactor

        from relayd.app import collector

        collector.settle()
        # After the reactor has put its own handlers in place, which would end the process as if it had been killed.
        reactor.callLater(0, _end_on_signals, reactor, self._hurry)

    def stopService(self) -> Any:
        """Stops everything; what the log held back is written last."""
        stopped = super().stopService()
        if self._observer is not None:
            stopped.addBoth(self._flush_log, self._observer)
        return stopped

    @staticmethod
    def _flush_log(result: object, observer: logs.Floodgate) -> object:
        observer.flush()
        return result


def _end_on_signals(reactor: Any, hurry: Callable[[], object]) -> None:
    """SIGTERM and SIGINT drain and stop relayd, exit status 0; the second cuts the drain short, the third kills."""
    signals = 0

    def end(_number: int, _frame: object) -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            reactor.callFromThread(reactor.stop)
            return
        for number in ENDS:
            signal.signal(number, signal.SIG_DFL)
        reactor.callFromThread(hurry)

    for number in ENDS:
        signal.signal(number, end)


def _without_start_errors(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    """What twistd lets through ends here: a traceback would tell a person nothing that the log line did not."""
    if not isinstance(error, StartError):
        sys.__excepthook__(kind, error, traceback)


def _log_path(twistd: Any) -> str | None:
    """The log of these options of twistd: a path, `-` for stdout, None for stderr."""
    if twistd["logfile"]:
        return str(twistd["logfile"])
    return None if twistd["nodaemon"] or twistd["debug"] else "twistd.log"


def _log_stream(path: str | None) -> Any:
    if path is None:
        return sys.stderr
    if path == "-":
        return sys.stdout
    file = LogFile.fromFullPath(path, rotateLength=LOG_FILE_BYTES, maxRotatedFiles=LOG_FILES_KEPT)
    # As twistd does with its own; on the reactor's turn there is no write under way.
    from twisted.internet import reactor

    signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(file.rotate))  # type: ignore[attr-defined]  # typed as a module
    return file


def _require_writable(what: str, path: str | None, remedy: str) -> None:
    """Raises SystemExit unless the file can be written; leaves no new file behind."""
    if not path or path == "-":
        return
    path = os.path.abspath(path)
    existed = os.path.exists(path)
    try:
        with open(path, "ab"):
            pass
    except OSError as error:
        raise SystemExit(f"relayd: the {what} {path} cannot be written: {error.strerror}; {remedy}") from None
    if not existed:
        with suppress(OSError):
            os.unlink(path)
