"""The command ``python -m bench.aggregate``: a sweep's tables and figures, written again.

Here belongs its door. What it does is in ``analysis.aggregate``.
"""

from bench.analysis.aggregate import main

if __name__ == "__main__":
    main()
