"""The teacher: a model that writes texts, behind an endpoint, or one of lm-eval's own models in this process."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from grading import Budget, State, Usage, UserError
from grading.asker import Asker, open_backend
from grading.backend import Backend, Calls, Group, Message, Reply, VoteCall, at_leisure
from grading.cost.progress import CallBar
from grading.home import StorePlace
from grading.keys import redact, register_text_keys
from grading.models.fingerprint import check_model_path
from grading.models.spec import LOCAL_PREFIX, ModelSpec, make_spec
from grading.store.replies import vote_key

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_TOLD = ("revision", "peft", "gguf_file", "dtype", "quantization")  # arguments that distinguish models
_SPEED = ("batch_size", "max_batch_size", "device", "parallelize")  # and those that do not
_BATCH = 16  # texts that `hf:` writes at once, unless --teacher-args says otherwise
_NO_SEED = frozenset({"seed"})  # lm-eval's models take none for a single text
_CHUNK = 64  # conversations that go to a model in this process together


class TeacherSpec(ModelSpec):
    """Everything that identifies a teacher, see ModelSpec.

    With kind "transformers" it is the model `lm` of lm-eval's registry, made with `lm_args` as lm_eval makes it
    with --model_args; `model` names its weights, and its replies begin with `prefix`, which it continues.
    A reply ends before the first of the texts in `stop`.
    """

    role: ClassVar[str] = "teacher"
    product: ClassVar[str] = "text"

    response_format: Literal["text"] = "text"
    stop: tuple[str, ...] = Field(default=(), max_length=4)  # OpenAI takes no more
    prefix: str = ""
    lm: str | None = None
    lm_args: dict[str, str | int | float | bool] = Field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """The fields that a stored text depends on, beside its messages."""
        identity = super().identity()
        if self.lm is not None:
            told = {name: value for name, value in self.lm_args.items() if name not in _SPEED}
            identity |= {"lm": self.lm, "lm_args": told}
        # Only where they are set, so that texts keep the keys that they had before there were these.
        return identity | self.own_parameters() | ({"prefix": self.prefix} if self.prefix else {})

    def own_parameters(self) -> dict[str, Any]:
        """See ModelSpec."""
        return {"stop": list(self.stop)} if self.stop else {}

    def record(self) -> dict[str, Any]:
        """The spec as data sets carry it: no address, and of `lm_args`, which may hold a token, what is known."""
        record = self.identity() | {"shutdown": str(self.shutdown) if self.shutdown else None}
        record.pop("lm_args", None)
        return record | {name: self.lm_args[name] for name in _TOLD if name in self.lm_args}


def resolve_teacher(
    teacher: str | None, *, lm_args: str | None = None, base_url: str | None = None, **fields: Any
) -> TeacherSpec:
    """The spec of an endpoint's model id, of `hf:DIRECTORY`, or with `lm_args` of a model of lm-eval's registry.

    Values that are None come from SKILLMIX_TEACHER_MODEL and SKILLMIX_TEACHER_BASE_URL.

    Raises UserError in one sentence for an invalid teacher.
    """
    teacher = teacher or os.environ.get(TeacherSpec.variable("MODEL"))
    if not teacher:
        raise UserError(
            "Name the teacher: --teacher MODEL (with --teacher-base-url for another endpoint than OpenAI's), "
            "--teacher hf:DIRECTORY, or --teacher vllm --teacher-args pretrained=MODEL."
        )
    base_url = base_url or os.environ.get(TeacherSpec.variable("BASE_URL"))
    given = {name: value for name, value in fields.items() if value is not None}
    if lm_args is None and not teacher.startswith(LOCAL_PREFIX):
        if "prefix" in given:
            raise UserError(
                f"--teacher-prefix is for a teacher in this process, and {teacher} is behind an endpoint: leave "
                "it out."
            )
        address = {} if base_url is None else {"base_url": base_url}
        return make_spec(TeacherSpec, {"model": teacher} | address | given, options=True)
    register_text_keys(lm_args or "")
    arguments = _arguments(lm_args or "")
    if teacher.startswith(LOCAL_PREFIX):
        arguments = {"batch_size": _BATCH} | arguments | {"pretrained": teacher.removeprefix(LOCAL_PREFIX)}
        teacher = "hf"
    name = arguments.get("pretrained")
    if not name:
        raise UserError(
            f"The teacher's arguments {lm_args!r} name no model: type "
            "--teacher-args pretrained=DIRECTORY_OR_HUB_ID."
        )
    local = {"kind": "transformers", "model": str(name), "lm": teacher, "lm_args": arguments}
    return make_spec(TeacherSpec, local | given, options=True)


def _arguments(text: str) -> dict[str, Any]:
    """lm-eval's arguments, which read "pretrained=DIR,batch_size=8"."""
    from lm_eval.utils import simple_parse_args_string

    try:
        return dict(simple_parse_args_string(text))
    except ValueError as error:  # a part without "="
        raise UserError(
            f"--teacher-args {text!r} is not a list of arguments: type --teacher-args pretrained=DIR,batch_size=8."
        ) from error


class Teacher(Asker[TeacherSpec]):
    """A teacher together with the store of its texts."""

    def __init__(
        self,
        spec: TeacherSpec,
        store: StorePlace,
        *,
        concurrency: int = 32,
        adaptive: bool = True,
        budget: Budget | None = None,
        batch: bool = False,
    ) -> None:
        backend: Backend
        if spec.lm is None:
            backend = open_backend(spec, concurrency, adaptive=adaptive, batches=store if batch else None)
        elif batch:
            raise UserError("A teacher in this process has no Batch API: leave out --batch.")
        else:
            backend = LmEvalBackend(spec)
        super().__init__(spec, store, backend, budget=budget or Budget(), batch=batch)
        self._identity = spec.identity()

    def record(self) -> dict[str, Any]:
        """The work and cost of writing so far."""
        return self.stats.record(self.spec, self.budget)

    def write(self, conversations: Sequence[tuple[Message, ...]], *, progress: bool | str = True) -> list[Reply]:
        """The reply to each conversation, in their order; a failed one has a state."""
        calls = [
            VoteCall(vote_key(self._identity, messages, 0), 0, messages, (), "", self.spec.seed)
            for messages in conversations
        ]
        replies: dict[str, Reply] = {}
        title = progress if isinstance(progress, str) else "Writing"
        with CallBar(title, self.spec, self.stats, disable=not progress) as bar:
            wanted = {call.key: call for call in calls}
            bar.expect(len(wanted))

            def keep(call: VoteCall, reply: Reply) -> None:
                replies[call.key] = reply
                self.stats.count(reply.state, reply)
                bar.advance()

            self.ask(wanted, keep)
        return [replies[call.key] for call in calls]


class LmEvalBackend:
    """A model of lm-eval's registry in this process; it is loaded with the first call."""

    def __init__(self, spec: TeacherSpec) -> None:
        self._spec = spec
        self._model: LM | None = None

    def check(self) -> None:
        """Raise UserError if the registry has no such model, or a package of it or its directory is not there."""
        from skillmix_tasks.harness.preflight import model_class

        assert self._spec.lm is not None  # else Teacher opens an endpoint
        unknown = f"lm-eval has no model {self._spec.lm!r}: type --teacher hf or --teacher vllm."
        model_class(self._spec.lm, "--teacher", unknown)
        check_model_path(self._spec.model)

    def replies(self, calls: Calls) -> Generator[Group]:
        """Answer all calls, chunk by chunk, in this thread."""
        waiting = iter(calls)
        while chunk := list(islice(waiting, _CHUNK)):
            replies = (replace(reply, refused=_NO_SEED) for reply in self._write(chunk))
            yield from at_leisure(list(zip(chunk, replies, strict=True)))

    def _write(self, chunk: Sequence[VoteCall]) -> list[Reply]:
        from lm_eval.api.instance import Instance

        model = self._loaded()
        spec = self._spec
        options = {
            "until": list(spec.stop),
            "max_gen_toks": spec.max_tokens,
            "do_sample": spec.temperature is not None,
            **({} if spec.temperature is None else {"temperature": spec.temperature}),
        }
        prompts = [
            model.apply_chat_template([dict(message) for message in call.messages]) + spec.prefix for call in chunk
        ]
        texts = model.generate_until(
            [
                Instance(request_type="generate_until", doc={}, arguments=(prompt, dict(options)), idx=index)
                for index, prompt in enumerate(prompts)
            ],
            disable_tqdm=True,
        )
        return [self._reply(model, prompt, redact(text)) for prompt, text in zip(prompts, texts, strict=True)]

    def _reply(self, model: LM, prompt: str, text: str) -> Reply:
        usage = Usage(len(model.tok_encode(prompt)), len(model.tok_encode(text)))
        if not text.strip():
            return Reply(State.EMPTY, text, "the reply holds no text", usage)
        full = self._spec.prefix + text
        if usage.completion >= self._spec.max_tokens:
            return Reply(State.TRUNCATED, full, "the reply ended at max_tokens", usage)
        return Reply(State.GRADED, full, usage=usage)

    def _loaded(self) -> LM:
        if self._model is None:
            from lm_eval.api.registry import get_model

            from skillmix_tasks.harness.preflight import loading

            arguments: dict[str, Any] = dict(self._spec.lm_args)
            if self._spec.lm == "hf":  # lm-eval's class assumes a GPU
                import torch

                arguments.setdefault("device", "cuda" if torch.cuda.is_available() else "cpu")
            with loading("teacher", "correct --teacher-args."):
                self._model = get_model(self._spec.lm).create_from_arg_obj(arguments)
        return self._model
