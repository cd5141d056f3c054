"""bench: how well does a random defence hold? A robustness benchmark on Foolbox 3 and PyTorch."""

import atexit
import os
import signal
import sys

# Foolbox imports GitPython for its zoo, which refuses to be imported where there is no git, unless told
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

__version__ = "0.1.0"

if sys.argv[:1] == ["-m"]:
    # A command, before it has begun (it imports for seconds) and after it has ended: nothing is there to be
    # finished. In between ``command`` handles signals.
    def _leave(number: int, frame: object) -> None:
        word = b"terminated" if number == signal.SIGTERM else b"interrupted"
        os.write(2, word + b"\n")
        os._exit(128 + number)

    for _number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(_number) is not signal.SIG_IGN:
            signal.signal(_number, _leave)
            # the very last, when no handler is left and the exit status stands
            atexit.register(signal.signal, _number, signal.SIG_IGN)
