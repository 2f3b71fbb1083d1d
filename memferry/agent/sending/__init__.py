"""From the journal to every backend: what is due, looked at once more before each try."""
