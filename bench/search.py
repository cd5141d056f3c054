"""The command ``python -m bench.search``: Algorithm 1 of "Defensive Dropout".

Here belongs its door. What it does is in ``analysis.search``.
"""

from bench.analysis.search import main

if __name__ == "__main__":
    main()
