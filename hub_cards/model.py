"""The result of `skillmix train` as a model on the Hub: the adapter, the merged or the fully trained model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from grading import UserError
from hub_cards.cards import need, refuse_gaps, render_card, tags
from hub_cards.evaluations import FOLDER, Evaluation, merged, published_evaluations, unreplaced_files
from hub_cards.hub.files import File, LeftOut, files_of, open_within
from hub_cards.hub.publication import Publication, Remote
from hub_cards.hub.records import json_file, read_record
from hub_cards.hub.scrub import local_paths, public_name, scrub
from hub_cards.leaderboards import RESULTS, Pinned, results_file
from skillmix_tasks.commands.embedded import EMBEDDED_ON_HUB, embedded_folder
from skillmix_tasks.items.licenses import known_license

MARK = "model"
FACTS = "skillmix.json"  # the facts of the card, so that results pushed later can make it again
_MADE_BY = "`skillmix train`"
# Weights that hold no code, and the files to load and use them: a pickled file can hold anything.
_TAKEN = (
    "*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "adapter_config.json",
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model*", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json",
    "additional_chat_templates/*.jinja",
)  # fmt: skip
_LEFT_OUT = {
    "training_args.bin": "pickled settings, which may hold a token",
    "optimizer*": "optimizer state",
    "scheduler.*": "optimizer state",
    "rng_state*": "trainer's state",
    "trainer_state.json": "trainer's state",
    "README.md": "the card is made anew",
    "whole": "checksums, which hold for the files here",
}

_RECIPE = (
    "method", "lora", "four_bit", "data_config", "steps", "epochs", "global_batch", "learning_rate",
    "warmup_steps", "schedule", "optimizer", "weight_decay", "max_length", "dtype", "packing", "seed",
    "early_stopping",
)  # fmt: skip


def model_facts(
    run_folder: Path,
    *,
    repo: str,
    license_: str | None,
    base_model: str | None,
    training_data: str | None,
    data_run: Callable[[str], dict[str, Any]],
    merged: bool,
) -> tuple[Path, dict[str, Any]]:
    """The folder of the weights, and the facts of the card; `data_run` gives the run.json of published texts.

    Raises UserError with the name of a fact that is missing.
    """
    run = read_record(run_folder / "run.json", _MADE_BY, within=run_folder)
    if "recipe" not in run:
        raise UserError(f"{run_folder} is no run of {_MADE_BY}: name a folder that it made.")
    named = base_model or str(need(run, "base_model.name", where="run.json"))
    if named == embedded_folder().name:
        named = EMBEDDED_ON_HUB
    refuse_gaps(
        {
            "license": (license_, "--license apache-2.0"),
            "training data": (training_data, "--training-data ORG/NAME"),
            f"the base model's name on the Hub, which is not {named}": (
                named if "/" in named else None,
                "--base-model ORG/NAME",
            ),
        },
        {"run.json": (run, [f"data.{fact}" for fact in ("config", "rows", "fingerprint")])},
    )
    assert license_ is not None
    assert training_data is not None
    method = need(run, "recipe.method", where="run.json")
    if merged and method != "lora":
        raise UserError("--merged is for a run that trained an adapter: leave it out.")
    weights, progress = _weights(run_folder, merged=merged)
    known_license(license_, "--license ")
    made = data_run(training_data)
    refuse_gaps({}, {f"run.json of {training_data}": (made, ["teacher.model", "judge"])})
    facts = {
        "repo": repo,
        "license": license_,
        "training_data": training_data,
        "base_model": need(run, "base_model", where="run.json") | {"name": named},
        "weights": _digest(weights),
        "adapter": method == "lora" and not merged,
        "merged": merged,
        "recipe": need(run, "recipe", where="run.json") | {"model": named},
        "data": need(run, "data", where="run.json"),
        **{name: need(run, name, where="run.json") for name in ("template", "versions")},
        "leaks": run.get("leaks"),
        "teacher": made["teacher"],
        "judge": made["judge"],
        **progress,
    }
    public: dict[str, Any] = scrub(facts)
    return weights, public


def model(
    weights: Path,
    facts: dict[str, Any],
    evaluations: Sequence[Evaluation],
    remote: Remote,
    *,
    within: Path | None = None,
) -> Publication:
    """The model in the folder `weights` with its card, which shows all evaluations, new and earlier ones.

    Raises UserError if a link leads out of the folder `within`, that of the run (None: `weights` itself).
    """
    files, left_out = [], []
    for path, file in files_of(weights):
        if any(fnmatch(path, pattern) for pattern in _TAKEN):
            files.append(File(path, _without_paths(open_within(within or weights, file), file.name, facts)))
        else:
            reason = next(
                (why for pattern, why in _LEFT_OUT.items() if fnmatch(path, pattern)), "not needed to load"
            )
            left_out.append(LeftOut(path, reason))
    if not any(file.path.endswith(".safetensors") for file in files):
        raise UserError(f"{weights} has no weights (*.safetensors).")
    files.append(File(FACTS, json_file(facts)))
    files += [file for one in evaluations for file in one.files]
    # Earlier evaluations do not apply to other weights.
    same = FACTS in remote.files and _facts_of(remote).get("weights") == facts["weights"]
    shown = merged(evaluations, published_evaluations(remote) if same else [])
    others = [
        path
        for path in unreplaced_files(remote, evaluations)
        if same and (path == RESULTS or path.startswith(f"{FOLDER}/"))
    ]
    return Publication(_card(facts, shown), tuple(files), tuple(left_out), tuple(others))


def results(
    evaluations: Sequence[Evaluation],
    remote: Remote,
    *,
    repo: str,
    benchmark: tuple[str, Pinned] | None = None,
    pull_request: bool = False,
) -> Publication:
    """The evaluations of a model that is on the Hub already, with its card made again.

    With `benchmark`, its id and its ranked settings, the Hub's leaderboards get the results, too. With
    `pull_request` the model is somebody else's, and keeps its card.
    """
    files = tuple(file for one in evaluations for file in one.files)
    notes: list[str] = []
    if benchmark is not None:
        ranked, notes = results_file(evaluations, remote, repo, *benchmark)
        files = (*files, *ranked)
    if pull_request:
        return Publication("", files, notes=tuple(notes))
    if remote.commit is None:
        return Publication(
            "",
            files,
            notes=(
                *notes,
                f"The push makes the card anew from {FACTS}, which `skillmix push model` wrote. A repository that "
                "has none needs --pr, which leaves its card as it is.",
            ),
        )
    if FACTS not in remote.files:
        raise UserError(
            f"The repository has no {FACTS}, from which its card is made. Push the model again, or add --pr to "
            "open a pull request that leaves the card as it is."
        )
    shown = merged(evaluations, published_evaluations(remote))
    return Publication(
        _card(_facts_of(remote), shown),
        files,
        others=unreplaced_files(remote, evaluations),
        notes=tuple(notes),
    )


def _facts_of(remote: Remote) -> dict[str, Any]:
    return read_record(remote.fetch(FACTS), "`skillmix push model`")


def _digest(folder: Path) -> str:
    """16 hexadecimal digits that change with the weights."""
    found = hashlib.sha256()
    for path, file in files_of(folder):
        if path.endswith(".safetensors"):
            with file.open("rb") as content:
                found.update(f"{path} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return found.hexdigest()[:16]


def _weights(run_folder: Path, *, merged: bool) -> tuple[Path, dict[str, Any]]:
    """The folder of the weights, and the figures of the complete run, or of its last checkpoint."""
    from training.tune.checksums import check_model
    from training.tune.resume import last_complete, read_log

    if (run_folder / "result.json").is_file():
        result = read_record(run_folder / "result.json", _MADE_BY, within=run_folder)
        refuse_gaps({}, {"result.json": (result, ["steps", "loss", "tokens", "seconds"])})
        folder = run_folder / ("merged" if merged else "model")
        if not folder.is_dir():
            raise UserError(f"There is no {folder}: type the command of the run again with --merge.")
        check_model(folder)
        return folder, {"result": result, "checkpoint": None}
    if merged:
        raise UserError(f"{run_folder} is incomplete, and only a complete run is merged: leave --merged out.")
    checkpoint = last_complete(run_folder / "checkpoints")
    if checkpoint is None:
        raise UserError(f"{run_folder} has no complete checkpoint yet: wait for the first one.")
    lines = [
        line for line in read_log(run_folder / "log.jsonl") if "loss" in line and line["step"] == checkpoint.step
    ]
    figures = lines[-1] if lines else {}
    refuse_gaps({}, {"log.jsonl": (figures, ["loss", "tokens", "seconds"])})
    return checkpoint.path, {
        "result": figures,
        "checkpoint": {"step": checkpoint.step, "of": checkpoint.state["max_steps"]},
    }


def _without_paths(file: Path, name: str, facts: dict[str, Any]) -> Path | bytes:
    """A configuration with the Hub's name of the base model in place of its path here."""
    if name not in ("adapter_config.json", "config.json", "tokenizer_config.json", "generation_config.json"):
        return file
    config = read_record(file, _MADE_BY)
    base = facts["base_model"]["name"]
    changed = {key: public_name(value) for key, value in config.items() if list(local_paths(value))}
    changed |= {key: base for key in ("_name_or_path", "name_or_path") if key in changed}
    if name == "adapter_config.json":
        changed |= {"base_model_name_or_path": base}
        changed |= {"revision": facts["base_model"].get("revision")}
    if all(config.get(key) == value for key, value in changed.items()):
        return file
    return json_file(config | changed)


def _card(facts: dict[str, Any], evaluations: Sequence[Evaluation]) -> str:
    """The card; UserError if a fact is missing."""
    name = facts["repo"].rpartition("/")[2]
    metadata = ModelCardData(
        license=facts["license"],
        language=["en"],
        base_model=facts["base_model"]["name"],
        base_model_relation="adapter" if facts["adapter"] else "finetune",
        library_name="peft" if facts["adapter"] else "transformers",
        pipeline_tag="text-generation",
        datasets=[facts["training_data"]],
        tags=tags(MARK, "compositional-generalization", *(["lora"] if facts["adapter"] else [])),
        model_name=name if evaluations else None,
        eval_results=[result for one in evaluations for result in one.results()] or None,
    )
    return render_card(
        "model",
        metadata,
        name=name,
        facts=facts,
        base=facts["base_model"],
        recipe={key: facts["recipe"][key] for key in _RECIPE if facts["recipe"].get(key) is not None},
        result=_readable(facts["result"]),
        checkpoint=facts["checkpoint"],
        data=facts["data"],
        leaks=facts["leaks"],
        evaluations=[_shown(one) for one in evaluations],
        judges=list({one.run.judge.key: one for one in evaluations}.values()),
    )


def _readable(result: dict[str, Any]) -> dict[str, Any]:
    """The figures of a training with its memory in GiB."""
    peak = result.get("peak_memory_bytes")
    memory = {} if peak is None else {"peak memory": f"{peak / 2**30:.1f} GiB"}
    return {name: value for name, value in result.items() if name != "peak_memory_bytes"} | memory


def _shown(one: Evaluation) -> dict[str, Any]:
    run = one.run
    metrics = []
    for metric, score in run.scores.items():
        interval = run.interval(metric)
        metrics.append(
            {"name": metric.replace("_", " "), "value": score and score.value}
            | ({"low": interval.low, "high": interval.high} if interval else {})
        )
    return {
        "task": run.task,
        "split": run.record.split,
        "pack": run.record.pack.name,
        "k": run.record.k,
        "judge": run.judge.name,
        "items": run.items,
        "coverage": run.coverage,
        "metrics": metrics,
        "turns": run.protocol.turns,
        "low": run.low,
        "high": run.high,
        "dollars": run.record.cost("dollars"),
        "folder": one.folder,
    }
