"""Programs under measurement: started pinned to a core, watched through /proc, ended with all they started."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import cpu

PR_SET_PDEATHSIG = 1
TERM_WITHIN_S = 5.0  # a server that has not ended by then is killed
_libc = ctypes.CDLL(None)


class ProgramFailed(Exception):
    """A program ended, or said nothing, when something was due from it."""


def free_ports(count: int) -> list[int]:
    """Ports nothing listens on now, from below the ephemeral range, so that no client socket takes one meanwhile."""
    found: list[int] = []
    port = 18000 + os.getpid() * 7 % 4000
    while len(found) < count:
        port += 1
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
    return found


class Program:
    """One process (and its children) pinned to `core`, its stderr in `log`, its end bound to ours."""

    def __init__(
        self, argv: Sequence[str], *, core: int, log: Path, env: Mapping[str, str] | None = None, talks: bool = False
    ) -> None:
        self.argv = list(argv)
        self.log = log

        def before_exec() -> None:
            os.sched_setaffinity(0, {core})
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        with log.open("ab") as out:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else out,
                stderr=out,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                preexec_fn=before_exec,
            )
        self.pid = self.process.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def demand_alive(self) -> None:
        """ProgramFailed with the end of its log if it has ended."""
        if not self.alive():
            tail = self.log.read_text(errors="replace")[-2000:]
            raise ProgramFailed(f"{self.argv[0]} ended with status {self.process.returncode}; its log ends:\n{tail}")

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """Meanwhile it does nothing, whatever is due."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it and everything of its process group; idempotent."""
        for number in (signal.SIGTERM, signal.SIGKILL):  # the second also takes children that outlived the first
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(TERM_WITHIN_S)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def pids(self) -> list[int]:
        """Its own process id and those of its living descendants."""
        found = [self.pid]
        for pid in found:
            try:
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found.extend(int(child) for child in (task / "children").read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def cpu_s(self) -> float:
        """CPU seconds (user and system) of it and all its living descendants."""
        total = 0.0
        for pid in self.pids():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                total += cpu.process_s(pid)
        return total

    def descriptors(self) -> int:
        """How many it has open, itself."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def memory_bytes(self) -> int:
        """Resident memory of it and its descendants; pages they share count once (Pss where the kernel tells)."""
        total = 0
        for pid in self.pids():
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            total += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
        return total


class Talker(Program):
    """A program that answers lines on stdin with JSON lines on stdout: the load generator and the publisher."""

    def __init__(self, argv: Sequence[str], *, core: int, log: Path) -> None:
        super().__init__(argv, core=core, log=log, talks=True)
        self._unread = b""

    def say(self, line: str) -> None:
        """One command."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.demand_alive()
            raise

    def hear(self, event: str, within_s: float) -> dict[str, Any]:
        """The next answer of that name; others before it are passed over. ProgramFailed when it is late."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + within_s
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while True:
                line, newline, rest = self._unread.partition(b"\n")
                if newline:
                    self._unread = rest
                    answer: dict[str, Any] = json.loads(line)
                    if answer["event"] == event:
                        return answer
                    continue
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    self.demand_alive()
                    raise ProgramFailed(f"{self.argv[0]} did not say {event!r} within {within_s:.0f} s")
                read = os.read(self.process.stdout.fileno(), 1 << 20)
                if not read:
                    self.process.wait(TERM_WITHIN_S)
                    self.demand_alive()
                self._unread += read


def wait_for_port(port: int, program: Program, within_s: float = 20.0) -> None:
    """Until something listens on 127.0.0.1:port, by /proc/net/tcp, so that the server counts no extra client."""
    wanted = f"0100007F:{port:04X}"
    anywhere = f"00000000:{port:04X}"
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        program.demand_alive()
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[1] in (wanted, anywhere):
                return
        time.sleep(0.05)
    raise ProgramFailed(f"{program.argv[0]} does not listen on port {port} after {within_s:.0f} s; log: {program.log}")
