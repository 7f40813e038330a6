"""Runs Wherry with a thread that samples the stacks of all others, where py-spy is missing.

    python bench/sampled.py OUT.collapsed serve config.json

Writes folded stacks, which speedscope.app and flamegraph.pl read. It sees Python frames only, and
only where the sampling thread gets the interpreter lock: a rough picture.

Not here: attaching to a running process.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL_S = 0.005
WAITING = frozenset({"wait", "get", "select", "poll", "accept", "_worker", "run_forever", "join"})


def sample(stacks: Counter[str], ended: threading.Event) -> None:
    mine = threading.get_ident()
    while not ended.wait(INTERVAL_S):
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if ident != mine and frame.f_code.co_name not in WAITING:
                stacks[";".join([names.get(ident, "?"), *fold(frame)])] += 1


def fold(frame: FrameType | None) -> list[str]:
    found = []
    while frame is not None:
        found.append(f"{Path(frame.f_code.co_filename).stem}:{frame.f_code.co_name}")
        frame = frame.f_back
    return found[::-1]


def main() -> int:
    out = Path(sys.argv[1])
    sys.argv = ["wherry", *sys.argv[2:]]
    sys.path.pop(0)
    from wherry.cli.main import main as wherry

    stacks: Counter[str] = Counter()
    ended = threading.Event()
    sampler = threading.Thread(target=sample, args=(stacks, ended), daemon=True)
    sampler.start()
    try:
        return wherry() or 0
    finally:
        ended.set()
        sampler.join()
        out.write_text("".join(f"{stack} {count}\n" for stack, count in stacks.items()))


if __name__ == "__main__":
    sys.exit(main())
