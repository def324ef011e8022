"""What holds for all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.require import in_ci

ROOT = Path(__file__).resolve().parent.parent

# No deadline: a busy machine is no fault of the code. In CI the examples are the same in each run, so that a change is
# judged by what it changes; elsewhere they are new each time, and what they find is kept as a test of its own.
settings.register_profile("relayd", deadline=None, derandomize=in_ci())
settings.load_profile("relayd")

# A shell that starts something in the background has it ignore Ctrl-C, and so would every program that a test starts
# and ends by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where what a person may want to look at is kept."""
    folder = Path(os.environ.get("ARTIFACTS", ROOT / "artifacts"))
    folder.mkdir(exist_ok=True)
    return folder
