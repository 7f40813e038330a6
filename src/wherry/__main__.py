"""``python -m wherry`` is ``wherry``."""

from wherry.cli.main import main

raise SystemExit(main())
