# Longer tests, each in a file of targets beside this one.

-include tests/targets-*.mk
