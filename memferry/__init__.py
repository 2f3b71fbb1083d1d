"""memferry carries an AI agent's memory off the machine that wrote it, and back."""

__version__ = "0.1.0"
