"""Checks and warnings before anything is generated."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from grading import JudgeSpec, UserError
from grading.asker import open_backend
from grading.home import verdict_store
from grading.keys import redact
from skillmix_tasks.harness.logs import replaced

_LOCAL = ("hf", "hf-auto", "huggingface", "vllm")  # whose argument `pretrained` names a folder or a repository
_NOT_LOADED = (OSError, ValueError, TypeError, AttributeError, ImportError, AssertionError, RuntimeError)

logger = logging.getLogger(__name__)


def refuse_chat_api(*names: str) -> None:
    """Raise UserError if a name is a chat model class of lm-eval's or a chat endpoint's address.

    For a student without a chat template.
    """
    ends = ("chat-completions", "/chat/completions")
    if any(name.partition("?")[0].rstrip("/").endswith(ends) for name in names):
        raise UserError("A chat endpoint takes no plain text: add --apply_chat_template.")


def check_student(model: str, model_args: Mapping[str, Any]) -> None:
    """Raise UserError, in one sentence, if lm-eval cannot load this class of models, or the model is missing."""
    choices = "type --model hf, vllm, local-chat-completions or openai-chat-completions"
    model_class(model, "students of --model", f"lm-eval has no --model {model}: {choices}.")
    name = model_args.get("pretrained")
    if model in _LOCAL and isinstance(name, str) and not Path(name).exists():
        _check_repository(name, model_args)


def model_class(name: str, option: str, unknown: str) -> Any:
    """Lm-eval's class of models `name`, which the user typed in `option`.

    Raises UserError if a package of it is missing, and with the sentence `unknown` if there is no such class.
    """
    from lm_eval.api.registry import get_model

    try:
        return get_model(name)
    except ImportError as error:
        reason = redact(str(error)).partition("\n")[0][:120]
        raise UserError(f"lm-eval cannot load {option} {name} ({reason}): install the missing package.") from error
    except (ValueError, KeyError) as error:
        raise UserError(unknown) from error


@contextmanager
def loading_student(model: str) -> Iterator[None]:
    """While it lasts, lm-eval raises UserError for a student of its class `model` that it cannot load."""
    from lm_eval.api.registry import get_model

    student = get_model(model)
    load = student.create_from_arg_obj
    correct = "correct --model_args or --device"
    if model == "local-completions":
        correct += ", or add tokenizer_backend=None to --model_args"

    def explained(arguments: dict[str, Any], *others: Any) -> Any:
        with loading("student", f"{correct}. `--verbosity DEBUG` shows where it failed."):
            return load(arguments, *others)

    with replaced(student, "create_from_arg_obj", explained):
        yield


@contextmanager
def loading(role: str, correct: str) -> Iterator[None]:
    """While it lasts, what lm-eval raises about a model's arguments and files is a UserError.

    The kind of error is up to each model's own code. `correct` says what to type.
    """
    try:
        yield
    except _NOT_LOADED as error:
        logger.debug("The %s cannot be loaded", role, exc_info=True)
        reason = redact(" ".join(str(error).split()))[:300]
        raise UserError(f"lm-eval cannot load the {role} ({type(error).__name__}: {reason}): {correct}") from error


def _check_repository(name: str, model_args: Mapping[str, Any]) -> None:
    from huggingface_hub import errors, hf_hub_download

    revision = model_args.get("revision")
    try:
        hf_hub_download(name, "config.json", revision=revision, subfolder=model_args.get("subfolder"))
    except errors.LocalEntryNotFoundError as error:
        raise UserError(
            f"The student {name} is not a folder here, and the Hub cannot be reached: correct pretrained in "
            "--model_args, or connect to the Hub."
        ) from error
    except errors.EntryNotFoundError:
        return  # a repository without that file
    except (errors.HFValidationError, errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise UserError(
            f"The student {name}{f' at {revision}' if revision else ''} is neither a folder here nor a model on "
            "the Hub that you may read: correct pretrained in --model_args, or set HF_TOKEN."
        ) from error


@cache
def check_judges(judges: tuple[JudgeSpec, ...], *, batch: bool = False) -> None:
    """Raise UserError, in one sentence, if a judge cannot answer; asked once for each panel."""
    for judge in judges:
        open_backend(judge, concurrency=1, batches=verdict_store() if batch else None).check()


@cache
def warn_of_one_turn() -> None:
    """Warn once that a run without a chat template has one turn."""
    logger.warning(
        "Without --apply_chat_template the task has a single turn that states the sentence limit; its scores "
        "are not comparable with two turns. The results record `turns: 1`."
    )
