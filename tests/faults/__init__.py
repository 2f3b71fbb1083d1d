"""The fault suite: what happens to memory when things break. `python -m tests.faults` runs it at full size."""
