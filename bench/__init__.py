"""bench: how well does a random defence hold? A robustness benchmark on Foolbox 3 and PyTorch."""

import os

# Foolbox imports GitPython, which fails where there is no git; nothing here needs it
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
