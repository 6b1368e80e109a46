from __future__ import annotations

import gc
import subprocess
import sys

from fedcredit.collecting import seldom_collected

PROBE = """
import atexit, gc
from fedcredit.collecting import seldom_collected
collections = []
gc.callbacks.append(lambda phase, info: collections.append(phase) if phase == "start" else None)
atexit.register(lambda: print(len(collections), gc.get_freeze_count()))  # what is registered first is called last
with seldom_collected():
    kept = [[] for _ in range(90_000)]
"""


def test_a_command_collects_seldom_and_its_caller_gets_the_thresholds_back() -> None:
    before = gc.get_threshold()
    with seldom_collected():
        assert gc.isenabled()
        assert gc.get_threshold()[0] > 10 * before[0]
    assert gc.get_threshold() == before


def test_objects_that_stay_are_walked_through_neither_while_they_are_made_nor_at_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    num_collections, num_frozen = map(int, done.stdout.split())
    assert num_collections <= 1  # when the thresholds come back
    assert num_frozen > 90_000
