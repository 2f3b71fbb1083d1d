"""The agent: watch, scan, read, hold, queue, deliver, pull."""
