"""The command ``python -m bench.game``: the game of sweeps.

Here belongs its door. What it does is in ``analysis.game``.
"""

from bench.analysis.game import main

if __name__ == "__main__":
    main()
