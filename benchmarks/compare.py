"""Compare convkit with other libraries on this machine: the same as `convkit bench`."""

import sys

from convkit.bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
