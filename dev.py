"""Everything a developer does here: python dev.py setup, demo, serve, test, lint, bench or compat. Needs only Python."""

import sys

from devtools.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
