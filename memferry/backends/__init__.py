"""Where records go: the vault and what it lies on, restore, and the wrappers around any backend."""
