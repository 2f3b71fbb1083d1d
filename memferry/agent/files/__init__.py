"""What lies on disk: watched, found, opened without following links out of a space, and read as far as it is new."""
