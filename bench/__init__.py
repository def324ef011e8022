"""relayd and its peers, measured in one run: `python -m bench --help`, `docs/performance.md`."""
