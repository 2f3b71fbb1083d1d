"""The agent in the foreground, and what keeps it running."""
