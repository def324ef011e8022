"""`relayd demo`: the first thing people see, from the wheel, without a file; and what Chromium shows of it."""

from __future__ import annotations

MARKER = "123456.78"  # a price that no walk of the market reaches
SHOWN_WITHIN_S = 1.0
