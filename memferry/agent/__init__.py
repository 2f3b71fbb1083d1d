"""The agent, put together in `service`. A record goes from `files` through `intake` and `state` to `sending`; what
other machines wrote comes in by `pulling`."""
