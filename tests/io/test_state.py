"""Tests of relayd.io.state: a real directory, a real thread."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from relayd.core.feed.resume import Resume
from relayd.core.kept import Kept
from relayd.core.windows import HostWindows
from relayd.io import state as io_state
from relayd.io.state import FILE, StateService
from relayd.io.ticker import Ticker
from tests.support.relay_rig import eventually

reactor: Any = real_reactor


class StateCase(TestCase):
    """A directory and what is kept in it."""

    timeout = 10

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.hear)
        self.addCleanup(globalLogPublisher.removeObserver, self.hear)
        self.ticker = Ticker(reactor, time.monotonic)
        self.ticker.startService()
        self.addCleanup(self.ticker.stopService)

    def hear(self, event: Any) -> None:
        """Keep the lines of this module."""
        if event.get("log_namespace") == "state":
            self.lines.append(formatEvent(event) or "")

    def run_one(self) -> tuple[StateService, Resume, HostWindows]:
        """A process begins."""
        hosts, resume = HostWindows(), Resume()
        self.window = hosts.window("h", "connect", 3, 60.0)
        kept = Kept(hosts, monotonic=time.monotonic, wall=time.time)
        kept.keep("feed", resume)
        service = StateService(str(self.directory), kept, reactor, self.ticker)
        service.startService()
        return service, resume, hosts


class KeepingTests(StateCase):
    """From one process to the next."""

    async def test_over_a_restart(self) -> None:
        """A dial is written at once, a cursor at the end; the file is for its owner alone, and nothing else is left."""
        service, resume, _ = self.run_one()
        self.window.record(time.monotonic())
        await service.save()
        self.assertIn('"connect"', (self.directory / FILE).read_text())
        resume.cursor = 7
        await service.stopService()
        self.assertEqual((self.directory / FILE).stat().st_mode & 0o777, 0o600)
        self.assertEqual(os.listdir(self.directory), [FILE])
        other, again, hosts = self.run_one()
        self.assertEqual(again.cursor, 7)
        self.assertEqual(len(hosts.recent(time.monotonic())["h", "connect"]), 1)
        self.assertEqual(other.counters.unreadable, 0)
        await other.stopService()
        self.assertEqual(other.counters.written, 0)
        self.assertEqual(self.lines, [])

    async def test_changes_are_written_from_time_to_time(self) -> None:
        """By the ticker, and only when there are any."""
        service, resume, _ = self.run_one()
        await eventually(lambda: service.counters.written == 1)
        self.assertGreater(service.next_deadline(), time.monotonic() + 9)
        service.tick(time.monotonic())
        resume.cursor = 1
        service.tick(time.monotonic())
        await eventually(lambda: service.counters.written == 2)
        await service.stopService()
        self.assertEqual(service.counters.written, 2)

    async def test_one_writing_at_a_time(self) -> None:
        """A slow disk: what comes meanwhile is in the next one, and there is one next one."""
        hold, began = threading.Event(), []

        def write(directory: Path, data: bytes) -> None:
            began.append(data)
            hold.wait(5)

        self.patch(io_state, "write", write)
        service, resume, _ = self.run_one()
        first = service.save()
        await eventually(lambda: began)
        resume.cursor = 5
        later = [service.save() for _ in range(3)]
        stopped = service.stopService()
        self.assertEqual(len(began), 1)
        hold.set()
        for done in (first, *later, stopped):
            await done
        self.assertEqual(len(began), 2)
        self.assertIn(b"5", began[1])


class TroubleTests(StateCase):
    """A disk that does not do what it should."""

    async def test_a_broken_file(self) -> None:
        """It is told, counted, ignored, and written anew."""
        self.directory.mkdir()
        (self.directory / FILE).write_text("{")
        service, resume, _ = self.run_one()
        self.assertEqual((service.counters.unreadable, resume.cursor), (1, None))
        [line] = self.lines
        self.assertTrue(line.startswith(f"state: {self.directory / FILE} is ignored: it is not what relayd writes: "))
        await service.stopService()
        self.assertIn("version", (self.directory / FILE).read_text())

    async def test_far_too_long(self) -> None:
        """It is not read to the end."""
        self.directory.mkdir()
        with (self.directory / FILE).open("wb") as opened:
            opened.truncate(io_state.MOST_BYTES + 1)
        service, _, _ = self.run_one()
        self.assertIn("it is longer than 16 MiB", self.lines[0])
        await service.stopService()

    async def test_no_place_to_write(self) -> None:
        """One line however often it fails, a count for each, and one line when it works again."""
        self.directory.write_text("a file where the directory should be")
        service, _, _ = self.run_one()
        await eventually(lambda: service.counters.failed)
        failed = service.counters.failed
        await service.save()
        await service.save()
        self.assertEqual(service.counters.failed, failed + 2)
        self.assertEqual(len([line for line in self.lines if "cannot be written" in line]), 1)
        self.assertIn("limits and cursors live as long as the process", self.lines[-1])
        self.directory.unlink()
        await service.save()
        self.assertEqual(self.lines[-1], f"state: {self.directory / FILE} is written again")
        await service.stopService()

    async def test_a_link_in_its_place(self) -> None:
        """The new file is never written through a link that somebody put there."""
        self.directory.mkdir()
        (self.directory / f"{FILE}.new").symlink_to(self.directory / "victim")
        service, _, _ = self.run_one()
        await service.save()
        self.assertFalse((self.directory / "victim").exists())
        await service.stopService()
