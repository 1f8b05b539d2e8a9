"""How close the engine comes to in-flight/latency, beside the clients of others.

    python -m benchmarks.grading_throughput [--repeats 3] [--store postgresql://...] [--inspect-python PATH]

2,000 requests at a latency of 0.5 s, to a server in a process of its own, in turn by our client in fixed mode,
by the complete engine around it (prompts, parser and store on disk) and by lm-eval's own aiohttp client; with
--store also by the engine with its store in that database. The rates are steady-state ones, as the server sees
them, and medians.
Then lm-eval's judge pattern (one synchronous call for each document, 40 documents, scaled up) and, with an
environment that has inspect_ai, its model-graded scorer.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lm_eval.api.instance import Instance
from lm_eval.models.api_models import JsonChatStr
from lm_eval.models.openai_completions import LocalChatCompletion

from benchmarks.constant_server import ConstantServer
from benchmarks.judge_work import CONTENT, Spent, ask, grade, requests
from grading.home import named_store
from grading.protocol.prompt import build_messages

_LATENCY = 0.5
_NUMBER = 2000
_SYNCHRONOUS = 40
_INSPECTED = 600  # enough for a steady state; inspect_ai takes much longer around its requests


def _say(line: str) -> None:
    sys.stdout.write(f"grading_throughput {line}\n")
    sys.stdout.flush()


def _lm_eval_client(base_url: str, number: int, concurrency: int) -> Spent:
    model = LocalChatCompletion(
        model="judge", base_url=f"{base_url}/chat/completions", num_concurrent=concurrency, max_retries=3
    )
    work = [
        Instance(
            request_type="generate_until",
            doc={},
            arguments=(
                JsonChatStr(json.dumps(build_messages(request))),
                {"max_gen_toks": 1024, "temperature": 0.7},
            ),
            idx=index,
        )
        for index, request in enumerate(requests(number))
    ]
    wall, cpu = time.perf_counter(), time.process_time()
    answers = model.generate_until(work, disable_tqdm=True)
    if len(answers) != number:
        raise RuntimeError("lm-eval's client lost answers")
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def _judge_pattern(base_url: str) -> float:
    """Requests a second of lm-eval's only judged task."""
    os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"] = base_url, "none"
    from lm_eval.tasks.pisa.utils import judge_mcq

    wall = time.perf_counter()
    for _ in range(_SYNCHRONOUS):
        judge_mcq("B", ["A) one", "B) two"], "B) two")
    return _SYNCHRONOUS / (time.perf_counter() - wall)


def _inspect(python: str, base_url: str, concurrency: int) -> None:
    script = Path(__file__).with_name("inspect_scorer.py")
    subprocess.run(  # noqa: S603
        [python, script, base_url, str(_INSPECTED), str(concurrency)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


_CLIENTS: dict[str, Callable[[str, int], Spent]] = {
    "client": lambda url, concurrency: ask(url, _NUMBER, concurrency=concurrency),
    "engine": lambda url, concurrency: grade(url, _NUMBER, concurrency=concurrency, adaptive=False),
    "lm_eval_client": lambda url, concurrency: _lm_eval_client(url, _NUMBER, concurrency),
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--store", type=named_store, help="the address of a PostgreSQL database")
    parser.add_argument("--inspect-python", help="the interpreter of an environment with inspect_ai and openai")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ["TQDM_DISABLE"] = "1"
    clients, server_store = dict(_CLIENTS), arguments.store
    if server_store:
        clients["engine_on_server"] = lambda url, concurrency: grade(
            url, _NUMBER, concurrency=concurrency, adaptive=False, server=server_store
        )
    ours = {}
    with ConstantServer(CONTENT, _LATENCY) as server:
        for concurrency in (64, 200):
            rates: dict[str, list[float]] = {}
            spent: dict[str, list[Spent]] = {}
            for _ in range(arguments.repeats):
                for name, work in clients.items():
                    spent.setdefault(name, []).append(work(server.base_url, concurrency))
                    rates.setdefault(name, []).append(server.stats().steady_rate(concurrency))
            for name, measured in rates.items():
                rate = statistics.median(measured)
                _say(
                    f"client={name} in_flight={concurrency} rate={rate:.1f}/s "
                    f"share={rate * _LATENCY / concurrency:.3f} "
                    f"shares={[round(one * _LATENCY / concurrency, 3) for one in measured]} "
                    f"cpu_per_request={statistics.median(one.cpu for one in spent[name]) / _NUMBER * 1000:.2f}ms "
                    f"seconds={statistics.median(one.wall for one in spent[name]):.1f}"
                )
            ours[concurrency] = statistics.median(rates["engine"])
        serial = _judge_pattern(server.base_url)
        for concurrency, rate in ours.items():
            _say(
                f"client=lm_eval_judge_pattern documents={_SYNCHRONOUS} rate={serial:.2f}/s "
                f"seconds_for_{_NUMBER}={_NUMBER / serial:.0f} engine_at_{concurrency}={rate / serial:.0f}x"
            )
    if arguments.inspect_python:
        with ConstantServer("The submission meets the criterion.\n\nGRADE: C", _LATENCY) as server:
            for concurrency, rate in ours.items():
                _inspect(arguments.inspect_python, server.base_url, concurrency)
                theirs = server.stats().steady_rate(concurrency)
                _say(
                    f"client=inspect_ai in_flight={concurrency} rate={theirs:.1f}/s "
                    f"share={theirs * _LATENCY / concurrency:.3f} engine={rate / theirs:.2f}x"
                )


if __name__ == "__main__":
    main()
