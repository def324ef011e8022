"""The `relayd` command, one module a command; `main` lists them."""
