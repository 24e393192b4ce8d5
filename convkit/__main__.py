"""`python -m convkit` is the command line."""

import sys

from convkit.cli import main

sys.exit(main())
