"""``python -m dxflow``: the command line."""

from __future__ import annotations

import sys

from .commands.main import main

# Worker processes import this file again under another name.
if __name__ == "__main__":
    sys.exit(main())
