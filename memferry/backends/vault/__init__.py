"""The vault: one log per machine, over any store. docs/vault-format.md"""
