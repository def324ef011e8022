"""Prints how many vectors each table of tests/security holds, and fails where one is shorter than was promised.

    python -m tests.security.count
"""

from __future__ import annotations

import sys
from collections.abc import Sized

from tests.config.test_load import VECTORS as YAML
from tests.handshake.table import CASES
from tests.security.test_address_vectors import DIALLED
from tests.security.test_address_vectors import REFUSED as NOT_DIALLED
from tests.security.test_advisories import ADVISORIES
from tests.security.test_hostile_strings import COUNT
from tests.security.test_jwt_vectors import ACCEPTED
from tests.security.test_jwt_vectors import VECTORS as DENIED
from tests.security.test_origin_vectors import LET_IN
from tests.security.test_origin_vectors import REFUSED as STRANGERS
from tests.security.test_topic_vectors import GIVEN, TEMPLATES
from tests.security.test_topic_vectors import VECTORS as TOPICS

#: The table, what is in it, and how many there must be.
TABLES: tuple[tuple[str, tuple[Sized, ...], int], ...] = (
    ("JWT", (ACCEPTED, DENIED), 80),
    ("Origin", (LET_IN, STRANGERS), 60),
    ("address (SSRF)", (NOT_DIALLED, DIALLED), 40),
    ("YAML", (YAML,), 40),
    ("topic and template", (TOPICS, GIVEN, TEMPLATES), 60),
    ("published fault", (ADVISORIES,), 36),
    ("handshake", (CASES,), 300),
)


def main() -> int:
    """As above."""
    short = 0
    for name, parts, least in TABLES:
        count = sum(map(len, parts))
        short += count < least
        print(f"{name:20} {count:7,}  of {least}{'' if count >= least else '  TOO FEW'}")
    print(f"{'hostile string':20} {COUNT:7,}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
