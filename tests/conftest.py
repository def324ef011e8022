"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

from tests.support.require import in_ci

# No deadline: a busy machine is no fault of the code. In CI the examples are the same in each run, so that a change is
# judged by what it changes; elsewhere they are new each time, and what they find is kept as a test of its own.
settings.register_profile("relayd", deadline=None, derandomize=in_ci())
settings.load_profile("relayd")
