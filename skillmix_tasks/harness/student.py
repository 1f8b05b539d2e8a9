"""The student is lm-eval's model: its identity, its sampling, and its requests, whose replies are never lost."""

from __future__ import annotations

import hashlib
import re
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import takewhile
from typing import Any, NamedTuple

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from grading import UserError
from grading.keys import redact
from grading.models.fingerprint import weights_fingerprint
from grading.protocol.reasoning import Split, split_reasoning
from skillmix_tasks.harness.endpoint_student import EndpointStudent
from skillmix_tasks.harness.lm_eval_internals import watch_outputs, watch_tokens
from skillmix_tasks.harness.settings import MOST_TOKENS, Settings
from skillmix_tasks.scoring.reply import StudentReply, as_reply, read_reply
from skillmix_tasks.stored.student_replies import StudentReplies, student_store

# Of --model_args: they change the speed or the key of a model, not its answers.
_HOW = re.compile(r"batch|concurren|retries|timeout|device|parallel|gpu|worker|token$|key$|header|certificate")
_NEUTRAL: Mapping[str, float] = {
    "min_p": 0.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
}
_MARK = re.compile(r"(?:<[^<>\n]{1,40}>|\[[A-Z]{3,20}\]|◁[^◁▷\n]{1,20}▷)\s*\Z")


def student_identity(lm: LM | None, model_args: Mapping[str, Any]) -> dict[str, Any]:
    """The student's identity: its class, its name, and its weights if they are on this disk.

    Only the names are taken from `model_args`, which may hold addresses, headers and tokens.
    """
    # A model that was passed as an object may know its own name.
    own = getattr(getattr(lm, "config", None), "_name_or_path", None)
    name = redact(str(model_args.get("pretrained") or model_args.get("model") or own or "unknown"))
    identity: dict[str, Any] = {"class": type(lm).__name__ if lm else None, "model": name}
    if own or "pretrained" in model_args:
        identity["weights"] = weights_fingerprint(name, model_args.get("revision"))
    for key in ("revision", "peft", "gguf_file"):
        if model_args.get(key):
            identity[key] = str(model_args[key])
    if identity.get("peft"):
        identity["peft_weights"] = weights_fingerprint(identity["peft"])
    return identity


def _kind(lm: LM | None, model_args: Mapping[str, Any]) -> str:
    """How the student is reached: "hf", "vllm", "endpoint", or "other"."""
    if lm is None:  # a task that does not meet its model goes by `model`
        server = "base_url" in model_args or ("model" in model_args and "pretrained" not in model_args)
        return "endpoint" if server else "other"
    names = [cls.__name__ for cls in type(lm).__mro__]
    if "LocalCompletionsAPI" in names and not any("Anthropic" in name or "Azure" in name for name in names):
        return "endpoint"
    return "vllm" if "VLLM" in names else "hf" if "HFLM" in names else "other"


class Student:
    """lm-eval's model `lm` with its replies on disk; its `generate_until` is replaced by `generate`.

    Requests of tasks that are not in `tasks` go to the model as they are.
    """

    settings: Settings

    def __init__(self, lm: LM, model_args: Mapping[str, Any]) -> None:
        self.lm = lm
        self.tasks: set[str] = set()
        self.kind = _kind(lm, model_args)
        self._ask_model: Callable[..., Sequence[str]] = lm.generate_until
        self._endpoint = EndpointStudent(lm) if self.kind == "endpoint" else None
        self._limit = MOST_TOKENS
        lm.generate_until = self.generate

    @property
    def refused(self) -> list[str]:
        """The parameters that the student's endpoint does not take."""
        return sorted(self._endpoint.refused) if self._endpoint else []

    def begin(self, settings: Settings, model_args: Mapping[str, Any]) -> None:
        """Take the settings of a new evaluation, and its random state, on which a reply depends."""
        self.settings, self._model_args = settings, dict(model_args)
        torch = sys.modules.get("torch")
        self._seed = int(torch.initial_seed()) if torch is not None and self.kind in ("hf", "other") else None

    def arguments(self, given: Mapping[str, Any], generation: int) -> dict[str, Any]:
        """The sampling of a generation: `given` by task and --gen_kwargs, the settings, and the rest pinned.

        These override the model's own generation_config.
        """
        found = {name: value for name, value in given.items() if value is not None or name == "seed"}
        found |= self.settings.sampling.model_dump(exclude_none=True) if self.settings.sampling else {}
        self._limit = int(found.get("max_gen_toks", MOST_TOKENS))
        found["max_gen_toks"] = self._limit + self.settings.reasoning_tokens
        if self.kind == "hf":
            found = {"top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0} | self._neutral() | found
            found["top_k"] = max(0, int(found["top_k"]))
        elif self.kind == "vllm":
            found = {"top_p": 1.0, "top_k": -1, "repetition_penalty": 1.0} | found
        elif self._endpoint is not None:
            own = {} if self._endpoint.is_openai else {"top_k": -1, "repetition_penalty": 1.0}
            found = {"top_p": 1.0} | own | found
            if self.settings.reasoning_effort:
                found["reasoning_effort"] = self.settings.reasoning_effort
        if not found.get("do_sample", True) or found.get("temperature") == 0:
            found |= {"do_sample": False, "temperature": 0.0}
            for name in ("top_p", "top_k", "min_p", "typical_p"):
                found.pop(name, None)
        seed = found.pop("seed", self.settings.seed)
        if self.kind in ("endpoint", "vllm") and seed is not None:
            found["seed"] = int(seed) + generation
        return found

    def _neutral(self) -> dict[str, float]:
        """Values that switch off the samplers of the model's generation_config."""
        config = getattr(getattr(self.lm, "model", None), "generation_config", None)
        return {
            name: value for name, value in _NEUTRAL.items() if getattr(config, name, None) not in (None, value)
        }

    # -- generation

    def generate(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """The replies to `requests`, in their order: from the disk, or else from the model and then on disk."""
        ours = [request for request in requests if request.task_name in self.tasks]
        others = [request for request in requests if request.task_name not in self.tasks]
        found = iter(self._replies(ours) if ours or not others else [])
        rest = iter(self._ask_model(others, disable_tqdm=disable_tqdm) if others else [])
        return [next(found) if request.task_name in self.tasks else next(rest) for request in requests]

    def _replies(self, requests: Sequence[Instance]) -> list[StudentReply]:
        # A rank's padding is the same request once more.
        distinct = list({id(request): request for request in requests}.values())
        with ExitStack() as stack:
            store = self._store()
            keys: list[str] = []
            stored: dict[str, StudentReply] = {}
            if store is not None:
                stack.callback(store.close)
                keys = [store.key(request.args[0], request.args[1], request.idx) for request in distinct]
                stored = store.read(keys)
            known = {number: stored[key] for number, key in enumerate(keys) if key in stored}
            missing = [number for number in range(len(distinct)) if number not in known]
            if known and missing and self._seed is not None:
                # A fresh random state would repeat the stored replies.
                digest = hashlib.sha256("".join(keys[number] for number in missing).encode()).digest()
                sys.modules["torch"].manual_seed(int.from_bytes(digest[:6]))

            def keep(place: int, reply: StudentReply) -> None:
                number = missing[place]
                known[number] = reply
                if store is not None:
                    store.write(keys[number], reply)

            self._ask([distinct[number] for number in missing], keep, padding=distinct)
        replies = {id(request): known[number] for number, request in enumerate(distinct)}
        return [replies[id(request)] for request in requests]

    def _store(self) -> StudentReplies | None:
        """None for a model that was passed as an object: its weights have no identity."""
        if not (self._model_args.get("pretrained") or self._model_args.get("model")):
            return None
        identity = student_identity(self.lm, self._model_args)
        what = {name: str(value) for name, value in self._model_args.items() if not _HOW.search(name)}
        return StudentReplies(student_store(), identity | {"model_args": what, "torch_seed": self._seed})

    def _ask(
        self,
        requests: Sequence[Instance],
        keep: Callable[[int, StudentReply], None],
        *,
        padding: Sequence[Instance],
    ) -> None:
        if self._endpoint is not None:
            self._endpoint.limit = self._limit if self.settings.reasoning_tokens else None
            self._endpoint.ask([request.args for request in requests], keep)
            return
        padded = list(requests)
        # Sharded models must make equally many forward passes on all ranks.
        if self.lm.world_size > 1:
            import torch

            counts = self.lm.all_gather(torch.tensor(len(padded), device=self.lm.device)).cpu().flatten().tolist()
            padded += [padding[-1]] * (max(counts) - len(padded))
        if not padded:
            return
        arrived: set[int] = set()

        def once(place: int, reply: StudentReply) -> None:
            if place < len(requests) and place not in arrived:
                arrived.add(place)
                keep(place, reply)

        with ExitStack() as stack:
            hook = _Hook(self, padded, once, self.lm.cache_hook)
            stack.callback(self.lm.set_cache_hook, hook.inner)
            self.lm.set_cache_hook(hook)
            if self.kind == "hf":
                stack.callback(watch_tokens(self.lm, hook.see_tokens))
            elif self.kind == "vllm":
                stack.callback(watch_outputs(self.lm, hook.see_output))
            replies = self._ask_model(padded)
            for place, reply in enumerate(replies):  # of a model that does not report them one by one
                once(place, as_reply(reply))
        if self.lm.world_size > 1:
            self.lm.barrier()

    def read(self, context: str, seen: _Seen, arguments: Mapping[str, Any]) -> StudentReply:
        """A local model's reply from what it generated after `context`."""
        lm: Any = self.lm
        tokenizer = lm.tokenizer
        text, cut_off = seen.text, seen.cut_off
        if seen.tokens is not None:
            ends = _end_tokens(lm)
            kept = list(takewhile(lambda token: token not in ends, seen.tokens))
            cut_off = len(kept) == len(seen.tokens) >= int(arguments["max_gen_toks"])
            text = tokenizer.decode(kept, skip_special_tokens=False)
        split = _split(context, text)
        reasoning_tokens = len(_encode(tokenizer, split.reasoning)) if split.reasoning else None
        visible = split.visible
        if not (split.reasoning or split.open) and seen.tokens is not None:
            visible = split_reasoning(tokenizer.decode(kept, skip_special_tokens=True)).visible
        for token in getattr(tokenizer, "all_special_tokens", ()):
            visible = visible.replace(token, "") if len(token) > 1 else visible
        until = arguments.get("until") or []
        for stop in [until] if isinstance(until, str) else until:
            visible = visible.partition(stop)[0] if stop else visible
        if self.settings.reasoning_tokens and len(ids := _encode(tokenizer, visible)) > self._limit:
            visible, cut_off = tokenizer.decode(ids[: self._limit], skip_special_tokens=True), True
        return read_reply(
            replace(split, visible=visible),
            cut_off=cut_off,
            reasoning_tokens=reasoning_tokens,
        )


class _Seen(NamedTuple):
    """The output of a local model: its tokens, or its text and whether that ended at the limit."""

    tokens: list[int] | None
    text: str = ""
    cut_off: bool = False


class _Hook:
    """Called by lm-eval's models with each reply as it arrives; `inner` is the hook that was there before."""

    def __init__(
        self, student: Student, requests: Sequence[Instance], keep: Callable[[int, StudentReply], None], inner: Any
    ) -> None:
        self.inner = inner
        self._student = student
        self._keep = keep
        self._seen: deque[_Seen] = deque()
        self._places: dict[tuple[str, Any], deque[int]] = defaultdict(deque)
        self._arguments = [request.args[1] for request in requests]
        for place, request in enumerate(requests):
            self._places[str(request.args[0]), request.args[1].get("seed")].append(place)

    def see_tokens(self, tokens: list[int]) -> None:
        """Take the tokens of the next reply."""
        self._seen.append(_Seen(tokens))

    def see_output(self, output: Any) -> None:
        """Take vLLM's output of the next reply."""
        one = output.outputs[0]
        self._seen.append(_Seen(None, one.text, one.finish_reason == "length"))

    def add_partial(self, method: str, request: tuple[Any, Mapping[str, Any]], result: Any) -> None:
        """Take the reply `result` to `request`, as lm-eval's models call it."""
        self.inner.add_partial(method, request, result)
        seen = self._seen.popleft() if self._seen else None
        places = self._places.get((str(request[0]), request[1].get("seed")))
        if method != "generate_until" or not places:
            return
        place = places.popleft()
        if seen is None:
            self._keep(place, as_reply(result))
        else:
            self._keep(place, self._student.read(str(request[0]), seen, self._arguments[place]))


def attach(lm: LM, task: str, settings: Settings, model_args: Mapping[str, Any]) -> Student:
    """The model as a student for `task`, with its settings from an earlier task of the run."""
    student = getattr(lm.generate_until, "__self__", None)
    if not isinstance(student, Student):
        student = Student(lm, model_args)
    student.begin(settings, model_args)
    student.tasks.add(task)
    return student


def check_template(lm: LM | None) -> None:
    """Raise UserError if the model is asked in chats and its tokenizer has no chat template."""
    tokenizer = getattr(lm, "tokenizer", None)
    if getattr(tokenizer, "chat_template", "") is None:
        name = redact(str(getattr(tokenizer, "name_or_path", "") or "the model"))
        raise UserError(
            f"{name} has no chat template: name a model that is tuned for chats, or leave out "
            "--apply_chat_template for a single turn."
        )


def _split(context: str, text: str) -> Split:
    """The reply, split; many templates write the beginning of the reasoning into the prompt."""
    mark = _MARK.search(context[-100:])
    if mark and split_reasoning(mark[0].strip()).open:
        text = mark[0].strip() + text
    return split_reasoning(text)


def _end_tokens(lm: Any) -> set[int]:
    config = getattr(getattr(lm, "model", None), "generation_config", None)
    ends = getattr(config, "eos_token_id", None)
    found = {lm.tokenizer.eos_token_id, *(ends if isinstance(ends, list | tuple) else [ends])}
    return {token for token in found if token is not None} | {lm.tokenizer.pad_token_id}


def _encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids
