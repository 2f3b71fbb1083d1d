"""Models that turn text into vectors: each a choice of the user, none ever loaded before it is used."""
