"""`skillmix quickstart`: a complete run on this machine, without a GPU, a key or a network."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from grading.errors import UserError
from skillmix_tasks.commands.embedded import convert_embedded_model, embedded_folder
from skillmix_tasks.harness.task_files import harness_folder

_TASK = "skillmix_k2"
# Short, so that a run takes about a minute on two cores: this model seldom ends a reply before any limit.
_REPLY_TOKENS = 64
# So small a judge may give no verdict at all; the coverage in the table says so.
_JUDGING = {"votes": 1, "max_missing": 1}

CAVEAT = (
    "The student and the judge here are SmolLM2-135M-Instruct. A judge this small proves that the pipeline "
    "works; the score means nothing."
)


def quickstart(output: Path, items: int, seed: int, *, as_json: bool = False) -> None:
    """Run skillmix_k2 on `items` items drawn with `seed`, with the embedded model as student and as judge.

    Prints the table, the closing block and the next command. With `as_json` prints the results as one JSON
    object instead of the table, and the rest on stderr. A run without any verdict ends in a table, too.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(output, error.strerror) from error
    model = convert_embedded_model(embedded_folder())
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from lm_eval.utils import make_table, setup_logging

    from grading.commands.closing import show_closing
    from grading.local.backend import load_judge
    from skillmix_tasks.commands.evaluate import strict_json
    from skillmix_tasks.harness.logs import no_loading_bars, quiet_lm_eval
    from skillmix_tasks.stored.facts import run_facts

    # Threads meet at every layer of so small a model, and on a busy machine they mostly wait for one another.
    torch.set_num_threads(1)
    setup_logging(logging.WARNING)
    settings = {"judge": f"hf:{model}", "seed": seed, **_JUDGING}
    manager = TaskManager(
        include_path=str(harness_folder()), include_defaults=False, metadata={"skillmix": settings}
    )
    task = manager.load([_TASK])["tasks"][_TASK]
    task.set_config("generation_kwargs", {"max_gen_toks": _REPLY_TOKENS}, update=True)
    # The class warns of weights that it did not load itself.
    logging.getLogger("lm_eval.models.huggingface").setLevel(logging.ERROR)
    with no_loading_bars():
        shared = load_judge(str(model), None).model
    student = HFLM(pretrained=shared, tokenizer=str(model), batch_size=16)
    tracker = EvaluationTracker(output_path=str(output))
    with quiet_lm_eval():
        results = simple_evaluate(
            model=student,
            model_args={"pretrained": str(model)},
            tasks=[task],
            task_manager=manager,
            limit=items,
            apply_chat_template=True,
            evaluation_tracker=tracker,
            random_seed=seed,
            numpy_random_seed=seed,
            torch_random_seed=seed,
        )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results, samples)
    tracker.save_results_samples(_TASK, samples[_TASK])
    # lm-eval does not fail when it cannot write.
    file = next(output.glob(f"**/samples_{_TASK}_{getattr(tracker, 'date_id', None)}.jsonl"), None)
    if file is None:
        raise _unwritable(output, "there are no samples")
    print(strict_json(results) if as_json else make_table(results))  # noqa: T201
    print(CAVEAT, file=sys.stderr if as_json else sys.stdout)
    facts = run_facts([results]) | {"results": output, "samples": file}
    show_closing(facts, ["report", output, "--out", output / "report"], as_json=as_json)


def _unwritable(output: Path, reason: str | None) -> UserError:
    return UserError(
        f"The results cannot be written to {output} ({reason}): free space, or name another folder with --out."
    )
