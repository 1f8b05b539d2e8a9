"""How well the client keeps to a limit it does not know: 50 requests a second, 429 beyond.

    python -m benchmarks.rate_limits [--requests 2000]

One line for each kind of server: the share of the allowed rate that was reached over the complete run, start
included, and the share of the requests that were refused.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.constant_server import ConstantServer
from benchmarks.judge_work import CONTENT, grade

_RATE = 50.0
_BOUND = 200


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=2000)
    number = parser.parse_args().requests
    for latency in (0.1, 0.5):
        for burst in (50.0, 5.0):
            for retry_after in ("none", "seconds", "exact"):
                with ConstantServer(CONTENT, latency, rate=_RATE, burst=burst, retry_after=retry_after) as server:
                    spent = grade(server.base_url, number, concurrency=_BOUND, adaptive=True)
                    stats = server.stats()
                allowed = spent.wall * _RATE + burst
                sent = len(stats.replied) + stats.refused
                sys.stdout.write(
                    f"rate_limits latency={latency} burst={burst:.0f} retry_after={retry_after} "
                    f"requests={number} rate={number / spent.wall:.1f}/s share={number / spent.wall / _RATE:.3f} "
                    f"share_with_burst={number / allowed:.3f} wasted={stats.refused / sent:.3f}\n"
                )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
