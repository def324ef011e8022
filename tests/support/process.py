"""A program under test: started, listened to, ended by its own id."""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.waiting import eventually

END_WITHIN_S = 10.0


class Program:
    """A process whose output, both streams in the order written, is kept in a file.

    Args:
        args: the program and its arguments.
        cwd: where it runs.
        env: its whole environment; None for that of the tests.
    """

    def __init__(self, args: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = Path(args[0]).name
        self._output = tempfile.NamedTemporaryFile(prefix="relayd-test-", suffix=".log")  # noqa: SIM115  # until it ends
        self._process = subprocess.Popen(
            [str(arg) for arg in args],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def output(self) -> str:
        """All it has written so far."""
        return Path(self._output.name).read_text("utf-8", "replace")

    @property
    def returncode(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def says(self, pattern: str, within_s: float = 15.0) -> re.Match[str]:
        """Waits until its output holds the pattern, and fails with all of the output otherwise."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.output, re.MULTILINE)
            if found is None and self.returncode is not None:
                # One more look: it may have written its last line between the two.
                found = re.search(pattern, self.output, re.MULTILINE)
                assert found, f"{self.name} ended with {self.returncode} before it said {pattern!r}:\n{self.output}"
            return found

        try:
            return eventually(look, f"{self.name} says {pattern!r}", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None

    def ends(self, within_s: float = END_WITHIN_S) -> int:
        """Waits for its end; its exit status."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {within_s} s:\n{self.output}") from None

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def stop(self) -> int:
        """Asks it to end (SIGTERM), and makes it end if it does not. Its exit status."""
        if self.returncode is None:
            self._process.terminate()
            try:
                self._process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return self._process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
        self._output.close()
