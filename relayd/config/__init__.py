"""relay.yaml: read strictly (`load`), typed (`model`), checked as a whole (`check`), documented (`reference`)."""
