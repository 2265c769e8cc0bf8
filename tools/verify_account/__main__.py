"""`python -m verify_account`."""

import sys

from .cli import main

sys.exit(main())
