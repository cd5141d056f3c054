"""What was the command ``python -m bench.game``: says its new form.

Here belongs nothing else. The command is ``python -m bench game``, in ``cli``.
"""

from bench.command import moved

if __name__ == "__main__":
    moved("bench.game", "game")
