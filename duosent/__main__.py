"""`python -m duosent` is the command `duosent`."""

import sys

from duosent.cli import main

sys.exit(main())
