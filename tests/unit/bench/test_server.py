import os
import subprocess
import sys

import pytest
from bench.server import PROC, alive, ended

BURN = "import time\nwhile time.process_time() < 0.3: pass\n{then}"


def ticks():
    return ended(os.getpid()) + alive(os.getpid())


@pytest.mark.skipif(not PROC.exists(), reason="there is no /proc")
def test_cpu_time_of_children_is_counted_while_they_live_and_when_they_have_ended():
    least = 0.3 * os.sysconf("SC_CLK_TCK") - 2
    before = ticks()
    burner = BURN.format(then="print(1, flush=True); input()")
    with subprocess.Popen(
        [sys.executable, "-c", burner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        child.stdout.readline()
        living = ticks() - before
        child.communicate("\n")
    after = ticks() - before

    assert living >= least
    assert after >= living
