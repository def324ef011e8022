"""A scripted server that judges clients of relayd.v1: `relayd client-test` (docs/client-test.md)."""
