"""What a person asks of an open agent: one function or one module a command."""
