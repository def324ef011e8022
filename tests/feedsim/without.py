"""A pytest plugin that takes one mechanism out of the code: `RELAYD_WITHOUT=<row> pytest -p tests.feedsim.without`."""

from __future__ import annotations

import os

from tests.feedsim.mechanisms import MECHANISMS

if row := os.environ.get("RELAYD_WITHOUT"):
    MECHANISMS[int(row)].disable()
