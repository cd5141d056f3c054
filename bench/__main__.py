"""The command ``python -m bench``: everything but running cells, which is ``python -m bench.run``."""

from bench.cli import main

if __name__ == "__main__":
    main()
