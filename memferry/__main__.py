"""`python -m memferry`."""

import sys

from memferry.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
