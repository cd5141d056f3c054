"""What was the command ``python -m bench.gradients``: says its new form.

Here belongs nothing else. The command is ``python -m bench gradients``, in ``cli``.
"""

from bench.command import moved

if __name__ == "__main__":
    moved("bench.gradients", "gradients")
