"""bench: how well does a random defence hold? A robustness benchmark on Foolbox 3 and PyTorch.

Here belong the public names, which are those of ``api`` and are imported when they are asked for; and how a
command is left that a signal comes to before it has begun.
"""

import atexit
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import (
        Audited,
        ConfigError,
        Dataset,
        Defended,
        Measurement,
        Own,
        Result,
        Sweep,
        WorstCase,
        audit,
        evaluate,
        load_dataset,
        measure,
        open_sweep,
    )

__all__ = [
    "Audited",
    "ConfigError",
    "Dataset",
    "Defended",
    "Measurement",
    "Own",
    "Result",
    "Sweep",
    "WorstCase",
    "__version__",
    "audit",
    "evaluate",
    "load_dataset",
    "measure",
    "open_sweep",
]

__version__ = "0.1.0"

# Foolbox imports GitPython for its zoo, which refuses to be imported where there is no git, unless told
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

# what is said of a result is a warning's, for whoever listens; nobody has to
logging.getLogger("bench").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    # a command's --help is there at once, without PyTorch
    if name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    from bench import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


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
