"""Real runs of `skillmix eval` for reports: two students of one judge, and one that writes hostile text."""

from __future__ import annotations

from pathlib import Path

from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import environment, metadata, run

TASKS = ("skillmix_k2", "skillmix_k3", "skillmix_train_k2", "skillmix_heldout_k2")
ITEMS = 10
HOSTILE_ITEMS = 6
# One sentence for the checks, so that the judge decides.
HOSTILE = (
    "Answer: </section></div></script><script>window.hacked = 1 // <img src=x onerror='window.hacked = 1'> "
    "\u202eevil\u202c <style>body { display: none } <b>bold "
)
MODELS = ["before", "after", "hostile", "judge-1"]


def evaluate(folder: Path, server: ChatServer, student: str, tasks: tuple[str, ...], items: int) -> Path:
    """Run `student` on `tasks` and return the folder of its results."""
    done = run(
        *("skillmix", "eval", "--model", "local-chat-completions", "--apply_chat_template", "--log_samples"),
        *("--model_args", f"model={student},base_url={server.url},num_concurrent=4,max_retries=1"),
        *("--tasks", ",".join(tasks), "--limit", str(items), "--output_path", student),
        *metadata(max_missing=1.0, price={"input": 2, "output": 8}, controls=student == "before"),
        env=environment(
            folder / f"home-{student}",  # each student's votes are asked for anew
            SKILLMIX_JUDGE_MODEL="judge-1",
            SKILLMIX_JUDGE_BASE_URL=server.base_url,
            OMP_NUM_THREADS="1",
        ),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder / student


def make_results(folder: Path) -> dict[str, Path]:
    """The three students' results, by student."""
    with ChatServer(earn=0.62, models=MODELS) as server:
        made = {"before": evaluate(folder, server, "before", TASKS, ITEMS)}
        server.set(earn=0.85)
        made["after"] = evaluate(folder, server, "after", TASKS, ITEMS)
        # Here verdicts are lost, too.
        server.set(student={"text": HOSTILE}, judge_faults={"refusal": 0.5}, fault_lasts=True)
        made["hostile"] = evaluate(folder, server, "hostile", TASKS[:1], HOSTILE_ITEMS)
    return made
