"""What memferry costs, measured beside what the machine can do at all. `python -m bench --help`; docs/benchmarks.md."""
