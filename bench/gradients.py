"""The command ``python -m bench.gradients``: the attacker's gradients through a sweep's defences.

Here belongs its door. What it does is in ``analysis.gradients``.
"""

from bench.analysis.gradients import main

if __name__ == "__main__":
    main()
