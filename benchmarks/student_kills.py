"""Whether a run that is killed again and again loses a student's reply, or generates one twice.

    python -m benchmarks.student_kills [--kills 30] [--turn 1] [--ranks 1] [--seed 0]

A student behind a loopback endpoint is evaluated, and the run is ended by SIGKILL at so many random moments of one
turn; each time the same command goes on. Two ranks are a model of several ranks that asks the same endpoint, one
request at a time each. Printed are the replies that were asked for and not on disk at a kill, beside what was in
flight, the requests that came a second time, and whether the answers are those of an unbroken run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import socket
import sqlite3
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_ITEMS = 20  # of three answers each
_IN_FLIGHT = 4
_DELAY = 0.08  # seconds until a reply
_TASK = "skillmix_k2"
# The imports take longer than a short run: they are done once, before the forks.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "lm_eval.evaluator",
        "lm_eval.models.openai_completions",
        "torch.distributed",
        "skillmix_tasks.commands.evaluate",
    ]
)


class Server:
    """A student's endpoint, whose text depends on the request alone; it counts the requests by turn and key."""

    def __init__(self) -> None:
        self.asked: dict[int, Counter[str]] = {1: Counter(), 2: Counter()}
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                content = json.dumps(server.reply(body)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Connections of runs that were killed are reset."""

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1/chat/completions"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def reply(self, body: dict[str, Any]) -> dict[str, Any]:
        """A good reply after the delay."""
        key = sha256(json.dumps([body["messages"], body["seed"]]).encode()).hexdigest()
        with self._lock:
            self.asked[1 + (len(body["messages"]) > 1)][key] += 1
        time.sleep(_DELAY)
        words = " ".join(f"word{key[place : place + 4]}" for place in range(0, 40, 4))
        message = {"role": "assistant", "content": f"Answer: The {words}.\nExplanation: It shows."}
        return {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 50, "completion_tokens": 30},
        }

    def distinct(self) -> int:
        """How many different replies were asked for."""
        return sum(map(len, self.asked.values()))


def _start(home: Path, url: str, ranks: int) -> list[Any]:
    """The processes of a run whose samples come to `home`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = [_FORKS.Process(target=_enter, args=(rank, ranks, port, home, url)) for rank in range(ranks)]
    for process in made:
        process.start()
    return made


def _enter(rank: int, ranks: int, port: int, home: Path, url: str) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(null, number)
    os.environ |= {"SKILLMIX_HOME": str(home)}
    if ranks > 1:
        run_rank(rank, ranks, port, home, url)
        return
    import skillmix

    arguments = f"model=student-1,base_url={url},num_concurrent={_IN_FLIGHT}"
    sys.argv = [
        *("skillmix", "eval", "--model", "local-chat-completions", "--tasks", _TASK, "--model_args", arguments),
        *("--apply_chat_template", "--predict_only", "--limit", str(_ITEMS), "--log_samples"),
        *("--output_path", str(home / "out")),
    ]
    skillmix.main()


def _answers(home: Path) -> list[Any]:
    """The last replies by item, as the samples have them."""
    *_, file = sorted((home / "out").glob("**/samples_*.jsonl"))
    samples = [json.loads(line) for line in file.read_text().splitlines()]
    return sorted((sample["doc_id"], [replies[-1] for replies in sample["resps"]]) for sample in samples)


def _on_disk(home: Path) -> int:
    with sqlite3.connect(home / "students.sqlite") as db:
        return int(db.execute("SELECT COUNT(*) FROM replies").fetchone()[0])


def _finish(processes: Sequence[Any]) -> None:
    for process in processes:
        process.join(600)
    if codes := [process.exitcode for process in processes if process.exitcode]:
        raise SystemExit(f"a run ended with {codes}")


def run(kills: int, turn: int, ranks: int, seed: int) -> None:
    """Print the figures of so many kills in a turn."""
    draw = random.Random(seed)  # noqa: S311
    replies, in_flight = _ITEMS * 3, _IN_FLIGHT if ranks == 1 else ranks
    moments = sorted(draw.choices(range(1, replies - in_flight), k=kills))
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder, "whole"), Path(folder, "killed")
        server = Server()
        _finish(_start(whole, server.url, ranks))
        padding = sum(server.asked[1].values()) + sum(server.asked[2].values()) - server.distinct()
        server = Server()
        lost: list[int] = []
        for moment in moments:
            processes = _start(killed, server.url, ranks)
            while len(server.asked[turn]) < moment:
                if not all(process.is_alive() for process in processes):
                    raise SystemExit(f"a run ended before it was killed, with {processes[0].exitcode}")
                time.sleep(0.002)
            time.sleep(draw.random() * _DELAY)
            draw.shuffle(processes)
            for process in processes:
                process.kill()
            for process in processes:
                process.join()
            lost.append(server.distinct() - _on_disk(killed))
            print(f"kill {len(lost)} after {moment} requests: {lost[-1]} not on disk", flush=True)  # noqa: T201
        _finish(_start(killed, server.url, ranks))
        again = sum(server.asked[1].values()) + sum(server.asked[2].values()) - server.distinct()
        before = server.distinct()
        _finish(_start(killed, server.url, ranks))
        print(  # noqa: T201
            f"{kills} kills in turn {turn}, ranks: {ranks}, requests in flight: {in_flight}.",
            f"Asked for and not on disk at a kill: {max(lost)} at most, {sum(lost)} in all.",
            f"Requests that came again: {again} ({padding} in an unbroken run).",
            f"Different replies: {before} of {2 * replies}, and {server.distinct() - before} more when repeated.",
            f"Answers as in an unbroken run: {_answers(killed) == _answers(whole)}.",
            sep="\n",
        )


def run_rank(rank: int, ranks: int, port: int, home: Path, url: str) -> None:
    """One rank of an evaluation; the first writes the samples."""
    import torch.distributed
    from lm_eval import simple_evaluate
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    from skillmix_tasks.harness.task_files import harness_folder

    class Ranked(LM):  # type: ignore[misc]
        tokenizer_name = ""

        def __init__(self) -> None:
            super().__init__()
            self._rank, self._world_size, self._device = rank, ranks, torch.device("cpu")

        def apply_chat_template(self, chat_history: list[dict[str, str]], **_: Any) -> str:
            return json.dumps(chat_history)

        def generate_until(self, requests: list[Instance], **_: Any) -> list[str]:
            texts = []
            for request in requests:
                body = {"messages": json.loads(request.args[0]), "seed": request.idx}
                call = urllib.request.Request(url, json.dumps(body).encode())  # noqa: S310
                with urllib.request.urlopen(call) as response:  # noqa: S310
                    texts.append(json.load(response)["choices"][0]["message"]["content"])
                self.cache_hook.add_partial("generate_until", request.args, texts[-1])
            return texts

        def loglikelihood(self, requests: list[Instance]) -> Any:
            raise NotImplementedError

        def loglikelihood_rolling(self, requests: list[Instance]) -> Any:
            raise NotImplementedError

        def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
            parts = [torch.zeros_like(tensor) for _ in range(ranks)]
            torch.distributed.all_gather(parts, tensor)
            return torch.stack(parts)

        def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
            gathered = [None] * ranks if rank == dst else None
            torch.distributed.gather_object(obj, gathered, dst=dst)
            return gathered

        def barrier(self) -> None:
            torch.distributed.barrier()

    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=ranks)
    given: dict[str, Any] = {"model": "student-1"}  # a model with a name keeps its replies
    manager = TaskManager(include_path=[str(harness_folder())], include_defaults=False, metadata=given)
    results = simple_evaluate(
        model=Ranked(),
        tasks=[_TASK],
        task_manager=manager,
        limit=_ITEMS,
        apply_chat_template=True,
        predict_only=True,
    )
    torch.distributed.destroy_process_group()
    if results is not None and rank == 0:
        (home / "out").mkdir(exist_ok=True)
        samples = results["samples"][_TASK]
        lines = [json.dumps({name: sample[name] for name in ("doc_id", "resps")}) for sample in samples]
        (home / "out" / "samples_.jsonl").write_text("\n".join(lines))


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--turn", type=int, choices=(1, 2), default=1)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run(arguments.kills, arguments.turn, arguments.ranks, arguments.seed)


if __name__ == "__main__":
    main()
