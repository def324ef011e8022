"""The version: that of the relayd it was made with, of which it speaks relayd.v1."""

VERSION = "0.1.0"
