"""The uses of lm-eval 0.4.13 beyond its public interface, and what would end each.

- `evaluated_model`: a task meets its model through the chat template alone. Ends when lm-eval hands the model to
  `Task.build_all_requests`.
- `generate_until` of the model's object is replaced (Student), so that replies on disk are not generated again in
  the first turn: lm-eval's own cache leaves sampled replies out. Ends when `CachingLM` keeps them.
- `watch_tokens` and `watch_outputs`: HF and vLLM models give a text without its finish reason, and decode it
  without the special tokens that mark reasoning. Ends when `generate_until` returns more than a text.
- `payload`: the request of an API model. Its client hides null contents, filters and errors, and ends a run at one
  bad reply. Ends when `parse_generations` sees the complete body and may fail by itself.
- `skillmix eval` replaces `lm_eval.tasks.TaskManager` (its command cannot leave 14,683 task files unread),
  `lm_eval.loggers.EvaluationTracker` (it only logs that a file was not written), `lm_eval.simple_evaluate` (it
  has no place between the results and their files) and a model's `create_from_arg_obj` (each class
  has errors of its own), and assigns `sys.argv`, which lm_eval's parser reads (evaluate.py). They end with an
  option, exceptions and a hook in lm-eval.
- `scored_mean` brings its own standard error: lm-eval has one for its own aggregations only, and for means that
  leave out NaN a bootstrap of half a minute. Ends when an aggregation can name its standard error.
- logs.py silences progress bars and git's complaint by replaced attributes; regrade.py calls `_process_results`,
  the aggregation without an evaluation. They end with a verbosity option and a public function.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from lm_eval import evaluator_utils
from lm_eval.api.metrics import mean, mean_stderr
from lm_eval.api.model import LM

_stderr_for_metric = evaluator_utils.stderr_for_metric


def scored_mean(items: Sequence[float]) -> float:
    """The mean of the items that have a score: NaN means no score, and is the mean if no item has one."""
    scored = _scored(items)
    return float(mean(scored)) if scored else math.nan


def _scored_stderr(items: Sequence[float]) -> float:
    scored = _scored(items)
    return float(mean_stderr(scored)) if len(scored) > 1 else math.nan


def _scored(items: Sequence[float]) -> list[float]:
    return [item for item in items if not math.isnan(item)]


def _stderr(metric: Callable[..., Any], bootstrap_iters: int) -> Callable[..., Any] | None:
    """Lm-eval's choice of a standard error, with the one of `scored_mean`."""
    if metric is scored_mean:
        return _scored_stderr
    chosen: Callable[..., Any] | None = _stderr_for_metric(metric=metric, bootstrap_iters=bootstrap_iters)
    return chosen


evaluator_utils.stderr_for_metric = _stderr


def evaluated_model() -> LM | None:
    """The model that lm-eval evaluates now, seen from a task's method; None outside an evaluation."""
    frame = sys._getframe()  # noqa: SLF001
    while frame is not None:
        model = frame.f_locals.get("lm") if frame.f_code.co_name == "evaluate" else None
        if isinstance(model, LM):
            return model
        frame = frame.f_back  # type: ignore[assignment]
    return None


def watch_tokens(lm: Any, seen: Callable[[list[int]], None]) -> Callable[[], None]:
    """Pass the tokens of each reply of an HF model to `seen` before decoding; returns a function to stop."""
    decode = lm.tok_decode

    def tok_decode(tokens: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(tokens, list):  # the end-of-text token alone comes as a number
            seen(tokens)
        return decode(tokens, *args, **kwargs)

    lm.tok_decode = tok_decode
    return lambda: lm.__dict__.pop("tok_decode", None)


def watch_outputs(lm: Any, seen: Callable[[Any], None]) -> Callable[[], None]:
    """Pass each output of a vLLM model to `seen` before its text is read; returns a function that ends that."""
    generate = lm._model_generate  # noqa: SLF001

    def model_generate(*args: Any, **kwargs: Any) -> Any:
        outputs = generate(*args, **kwargs)
        for output in outputs:
            seen(output)
        return outputs

    lm._model_generate = model_generate  # noqa: SLF001
    return lambda: lm.__dict__.pop("_model_generate", None)


def payload(lm: Any, context: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The body that an API model sends for `context`, with the sampling of `arguments` and no other.

    lm-eval's classes add stop sequences and seeds of their own, and change the temperature by a model's name.
    """
    body: dict[str, Any] = lm._create_payload(  # noqa: SLF001
        lm.create_message([context]), generate=True, gen_kwargs=dict(arguments)
    )
    body |= {name: arguments.get(name) for name in ("temperature", "seed")}
    body["stop"] = arguments.get("until") or None
    return {name: value for name, value in body.items() if value is not None}


def concurrency(lm: Any) -> int:
    """How many requests an API model has in flight at most."""
    return max(1, int(lm._concurrent))  # noqa: SLF001
