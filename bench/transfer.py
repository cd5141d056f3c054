"""The command ``python -m bench.transfer``: a sweep's cross recognition.

Here belongs its door. What it does is in ``analysis.transfer``.
"""

from bench.analysis.transfer import main

if __name__ == "__main__":
    main()
