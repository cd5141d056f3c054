"""What was the command ``python -m bench.transfer``: says its new form.

Here belongs nothing else. The command is ``python -m bench transfer``, in ``cli``.
"""

from bench.command import moved

if __name__ == "__main__":
    moved("bench.transfer", "transfer")
