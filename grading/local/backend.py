"""A judge that runs in this process: any Hugging Face chat model, bound to the verdict's form while it writes.

Decoding is constrained by a grammar for each call, so that a reply is always a verdict, every quote is copied
from the answer, and no point is granted without a quote. Forced tokens (keys, punctuation) cost no step of their
own: they are fed to the model together with the next free token.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from inspect import signature
from typing import TYPE_CHECKING, Any
from unicodedata import category, normalize

from jinja2 import TemplateError

from grading.backend import Calls, Group, Message, Reply, VoteCall, at_leisure
from grading.errors import UserError
from grading.models.fingerprint import check_model_path
from grading.protocol.parse import canonical, dictated_verdicts, is_evidence, normalise
from grading.protocol.untrusted import shown
from grading.verdict import State, Usage

if TYPE_CHECKING:
    import torch
    from llguidance import LLMatcher, LLTokenizer

_Prompted = tuple[VoteCall, list[int]]  # a call and its prompt's tokens

MAX_QUOTE = 300  # characters of a quote, counted after JSON escaping

_DTYPES = ("bfloat16", "float16", "float32")
_PACKAGES = ("torch", "transformers", "llguidance")
# The places where a quote may begin or end. Scripts without spaces (CJK and above) may be cut anywhere.
_CHUNK = re.compile("[^\\W\u2e80-\U0010ffff]{1,32}|.", re.DOTALL)


@dataclass(frozen=True)
class LocalBackend:
    """A Backend over a causal chat model from a directory or the Hub, on the GPU if there is one, else the CPU.

    `temperature` 0 decodes greedily. `max_tokens` limits one reply; `batch_size` is the number of votes decoded
    together. `dtype` ("bfloat16", "float16", "float32") defaults to bfloat16 on CPUs that compute in it, float32
    on others, and the model's own on GPUs.

    A vote is drawn from a random stream of its own, seeded by its messages and its seed. Its text still depends
    on its batch as far as the arithmetic does: hardly ever in float32, one vote in six in bfloat16.
    """

    model: str
    temperature: float
    max_tokens: int
    batch_size: int
    dtype: str | None = None

    def check(self) -> None:
        """Look at packages, configuration and tokenizer, not at weights; raise UserError in one sentence."""
        if self.dtype is not None and self.dtype not in _DTYPES:
            raise UserError(f"The judge's dtype is {self.dtype!r}; it must be one of {', '.join(_DTYPES)}.")
        for package in _PACKAGES:
            if find_spec(package) is None:
                raise UserError(f'The package {package} is missing: type `pip install "skillmix-tasks[hf]"`.')
        check_model_path(self.model)
        _load_tokenizer(self.model)

    def replies(self, calls: Calls) -> Generator[Group]:
        """Answer every call; replies come batch by batch, in the calling thread.

        A call that does not fit the model's context is answered with API_FAILED. Raises UserError as `check`
        does, and if the model cannot decode several tokens at a time (state-space models).
        """
        wanted = list(calls)
        if not wanted:
            return
        self.check()
        judge = load_judge(self.model, self.dtype)
        room = judge.context - self.max_tokens
        fitting = []
        groups: dict[str, list[VoteCall]] = {}
        for call in wanted:
            groups.setdefault(json.dumps(call.messages), []).append(call)
        for votes in groups.values():
            prompt = _encode(judge.tokenizer, votes[0].messages)
            if len(prompt) <= room:
                fitting.append([(call, prompt) for call in votes])
                continue
            detail = f"{len(prompt)} tokens of prompt and {self.max_tokens} of reply exceed the model's context"
            yield [(call, Reply(State.API_FAILED, detail=f"{detail} of {judge.context:.0f}")) for call in votes]
        for batch in _batches(fitting, self.batch_size):
            yield from at_leisure([(row.call, self._reply(judge, row)) for row in self._decode(judge, batch)])

    def _decode(self, judge: LoadedJudge, batch: Sequence[_Prompted]) -> list[_Row]:
        import torch

        rows = [self._row(judge, call, prompt) for call, prompt in batch]
        live = [row for row in rows if not row.done]
        if not live:
            return rows
        with torch.inference_mode():
            decoder = _Decoder(judge)
            logits = decoder.start([row.prompt + row.written for row in live])
            while True:
                for row, row_logits in zip(live, logits, strict=True):
                    row.advance([self._choose(row, row_logits)], self.max_tokens)
                going = [index for index, row in enumerate(live) if not row.done]
                if not going:
                    return rows
                if len(going) < len(live):
                    decoder.keep(going)
                live = [live[index] for index in going]
                logits = decoder.feed([row.fresh for row in live])

    def _row(self, judge: LoadedJudge, call: VoteCall, prompt: list[int]) -> _Row:
        import torch
        from llguidance import LLMatcher

        matcher = LLMatcher(judge.vocabulary, verdict_grammar(call.criteria, call.answer))
        # The seed alone would give the same draws to the same vote of every answer.
        digest = hashlib.sha256(json.dumps([call.seed, call.messages]).encode()).digest()
        generator = torch.Generator(judge.model.device).manual_seed(int.from_bytes(digest[:8]))
        row = _Row(call, prompt, matcher, generator)
        row.advance([], self.max_tokens)
        return row

    def _choose(self, row: _Row, logits: torch.Tensor) -> int:
        """The next token of a row, of those its grammar allows; `logits` covers the vocabulary."""
        import torch

        bias = torch.frombuffer(bytearray(row.matcher.compute_logit_bias()), dtype=torch.uint8)
        allowed = bias.nonzero()[:, 0]
        allowed = allowed[allowed < len(logits)].to(logits.device)  # some tokenizers exceed their model
        scores = logits[allowed].float()
        if self.temperature > 0:
            # The largest of scores with Gumbel noise is a sample of their softmax.
            noise = torch.empty_like(scores).exponential_(generator=row.generator).log_()
            scores = scores / self.temperature - noise
        return int(allowed[scores.argmax()])

    def _reply(self, judge: LoadedJudge, row: _Row) -> Reply:
        usage = Usage(prompt=len(row.prompt), completion=len(row.written))
        text = judge.vocabulary.decode_str(row.written)
        if row.matcher.is_error():
            return Reply(State.API_FAILED, text, f"the grammar failed: {row.matcher.get_error()}", usage)
        if row.matcher.is_stopped():
            return Reply(State.GRADED, text, usage=usage)
        return Reply(State.TRUNCATED, text, f"the reply reached max_tokens = {self.max_tokens}", usage)


def verdict_grammar(criteria: Iterable[str], answer: str) -> str:
    """The llguidance grammar (Lark-like) of a compact JSON verdict.

    Its strings are those that `verdict_schema` describes, with these limits more: a quote is empty or a passage of
    `answer`, as the judge is shown it, that passes `is_evidence`; it has at most MAX_QUOTE characters and is not
    one that the answer dictates; and with an empty quote `earned` is false.
    """
    heads = [f'{json.dumps(criterion)}:{{"quote":"' for criterion in criteria]
    keys = [json.dumps(("," if number else "{") + head) for number, head in enumerate(heads)]
    nothing = json.dumps('","earned":false}')
    lines = ["%llguidance {}", "start: " + " ".join(f"{key} mark" for key in keys) + ' "}"']
    answer = shown(answer)
    pieces = _pieces(answer)
    least = _least_evidence(pieces, normalise(answer))
    if not least:
        return "\n".join([*lines, f"mark: {nothing}"])
    judged = json.dumps('","earned":')
    # A run of escaped pieces is the escape of a run, as each character escapes on its own.
    chunks = json.dumps({"substring_chunks": [_escaped(piece) for piece in pieces]})
    # More words behind a piece of evidence leave it one.
    quote = "ANSWER & EVIDENCE & LIMITED"
    dictated = _dictated(pieces, answer)
    if dictated:
        quote += " & ~DICTATED"
        lines.append("DICTATED: " + " | ".join(map(json.dumps, dictated)))
    return "\n".join(
        [
            *lines,
            f'mark: {nothing} | QUOTE {judged} ("true" | "false") "}}"',
            f"QUOTE: {quote}",
            f"ANSWER: %regex {chunks}",
            "EVIDENCE: LEAST /(?s:.*)/",
            "LEAST: " + " | ".join(map(json.dumps, least)),
            f"LIMITED: /(?s:.{{1,{MAX_QUOTE}}})/",
        ]
    )


def _pieces(text: str) -> list[str]:
    """`text` cut where a quote may begin or end.

    No letter loses its marks by a cut, and no cut changes what a run of pieces is normalised to.
    """
    pieces: list[str] = []
    for chunk in _CHUNK.findall(text):
        normal = normalize("NFKC", chunk)
        if pieces and (
            category(normal[0])[0] == "M"
            or normalize("NFKC", pieces[-1] + chunk) != normalize("NFKC", pieces[-1]) + normal
        ):
            pieces[-1] += chunk
        else:
            pieces.append(chunk)
    return pieces


def _least_evidence(pieces: Sequence[str], normalised_answer: str) -> list[str]:
    """For each piece that a quote may begin with, the shortest evidence from there on, in JSON's escapes."""
    found: dict[str, None] = {}
    end = 0
    for start, piece in enumerate(pieces):
        end = max(end, start + 1)
        # Evidence that begins later ends no sooner.
        while not is_evidence(passage := "".join(pieces[start:end]), normalised_answer):
            if end == len(pieces):
                return list(found)
            if len(passage) > MAX_QUOTE:
                break
            end += 1
        else:
            if not piece.isspace() and len(_escaped(passage)) <= MAX_QUOTE:
                found[_escaped(passage)] = None
    return list(found)


def _dictated(pieces: Sequence[str], answer: str) -> list[str]:
    """The passages that are quotes of a verdict which the answer holds: with them a reply could repeat it."""
    wanted = {
        canonical(entry["quote"])
        for verdict in dictated_verdicts(answer)
        for entry in verdict.values()
        if isinstance(entry, dict) and entry.get("earned") is True and isinstance(entry.get("quote"), str)
    }
    longest = max(map(len, wanted), default=0)
    found = []
    for start in range(len(pieces)):
        for end in range(start + 1, len(pieces) + 1):
            passage = "".join(pieces[start:end])
            quote = canonical(passage)
            if len(quote) > longest or len(passage) > MAX_QUOTE:
                break
            if quote in wanted:
                found.append(_escaped(passage))
    return found


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


@dataclass(frozen=True)
class LoadedJudge:
    """A loaded model: `vocabulary` is the tokenizer as llguidance sees it, `context` the most tokens it reads."""

    model: Any
    tokenizer: Any
    vocabulary: LLTokenizer
    context: float


@dataclass
class _Row:
    """One vote while it is decoded; `fresh` are the written tokens that the model has not read yet."""

    call: VoteCall
    prompt: list[int]
    matcher: LLMatcher
    generator: torch.Generator
    written: list[int] = field(default_factory=list)
    fresh: list[int] = field(default_factory=list)
    done: bool = False

    def advance(self, tokens: list[int], limit: int) -> None:
        """Write `tokens` and whatever the grammar forces after them, up to `limit` tokens in all."""
        self.matcher.consume_tokens(tokens)
        forced = self.matcher.compute_ff_tokens()[: limit - len(self.written) - len(tokens)]
        self.matcher.consume_tokens(forced)
        self.fresh = tokens + forced
        self.written += self.fresh
        self.done = self.matcher.is_stopped() or len(self.written) >= limit


class _Decoder:
    """The model's cache for one batch.

    Every step may feed rows of unlike lengths: they are padded on the left, the attention mask hides the
    padding for good, and positions count real tokens only.
    """

    def __init__(self, judge: LoadedJudge) -> None:
        self._model = judge.model
        self._pad = judge.tokenizer.pad_token_id or 0
        self._parameters = signature(judge.model.forward).parameters
        self._cache_name = _cache_name(judge.model)
        self._cache: Any = None
        self._mask: torch.Tensor | None = None

    def start(self, prompts: Sequence[list[int]]) -> torch.Tensor:
        """Read the prompts, each different one once, and return the logits after each: rows x vocabulary."""
        different = list(dict.fromkeys(map(tuple, prompts)))
        logits = self.feed([list(prompt) for prompt in different])
        spread = [different.index(tuple(prompt)) for prompt in prompts]
        self.keep(spread)
        return logits[spread]

    def feed(self, tokens: Sequence[list[int]]) -> torch.Tensor:
        """Read further tokens, at least one a row; return the logits after each row's last."""
        import torch

        width = max(map(len, tokens))
        device = self._model.device
        ids = torch.tensor([[self._pad] * (width - len(row)) + row for row in tokens], device=device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in tokens], device=device)
        self._mask = mask if self._mask is None else torch.cat([self._mask, mask], dim=1)
        inputs = {
            "input_ids": ids,
            "attention_mask": self._mask,
            "position_ids": (self._mask.cumsum(dim=1) - 1).clamp(min=0)[:, -width:],
            self._cache_name: self._cache,
            "use_cache": True,
            "logits_to_keep": 1,
        }
        # Models that count positions by the mask take no position_ids. All have the others: `_load` sees to it.
        out = self._model(**{name: value for name, value in inputs.items() if name in self._parameters})
        self._cache = getattr(out, self._cache_name)
        logits: torch.Tensor = out.logits[:, -1]
        return logits

    def keep(self, rows: list[int]) -> None:
        """Make these rows, by index and with repeats, the batch."""
        import torch

        assert self._mask is not None
        index = torch.tensor(rows, device=self._model.device)
        self._cache.batch_select_indices(index)
        self._mask = self._mask[index]


@cache
def _load_tokenizer(model: str) -> Any:
    from transformers import AutoConfig, AutoTokenizer

    try:
        AutoConfig.from_pretrained(model)
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, ImportError) as error:
        raise _unreadable(model, error) from error
    if not tokenizer.is_fast:
        raise UserError(f"The judge {model} has no fast tokenizer, which constrained decoding needs.")
    if not tokenizer.chat_template:
        raise UserError(f"The judge {model} has no chat template: choose an instruction-tuned model.")
    return tokenizer


def _unreadable(model: str, error: Exception) -> UserError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return UserError(f"The judge {model} cannot be read: {reason}.")


@cache
def load_judge(model: str, dtype: str | None) -> LoadedJudge:
    """Load a judge once in a process; a student with the same weights may share them."""
    import torch
    from llguidance.hf import from_tokenizer
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype is None and device == "cpu":
        # Without the instructions 16 bits are emulated, ten times slower than 32.
        dtype = "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"  # noqa: SLF001
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(model, dtype=dtype or "auto")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:  # of its weights
        raise _unreadable(model, error) from error
    loaded = loaded.to(device).eval()
    if getattr(loaded, "_is_stateful", False):
        raise UserError(f"The judge {model} is a state-space model, which cannot judge here: choose another.")
    if not {"attention_mask", _cache_name(loaded)} <= signature(loaded.forward).parameters.keys():
        # If the cache is dropped silently, the judge has read only its last tokens.
        raise UserError(f"The judge {model} has no key-value cache: choose another.")
    tokenizer = _load_tokenizer(model)
    context = getattr(loaded.config.get_text_config(), "max_position_embeddings", None)
    return LoadedJudge(loaded, tokenizer, from_tokenizer(tokenizer), context or float("inf"))


def _cache_name(model: Any) -> str:
    """The name under which the model takes and returns its cache; transformers renamed it in 5.24."""
    return "cache" if "cache" in signature(model.forward).parameters else "past_key_values"


def _encode(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """The prompt's tokens, up to where the reply begins."""
    chat = [{"role": m["role"], "content": _plain(tokenizer, m["content"])} for m in messages]
    options = {"add_generation_prompt": True, "return_dict": False, "enable_thinking": False}
    try:
        ids = tokenizer.apply_chat_template(chat, **options)
    except TemplateError:  # some templates refuse a system message
        merged = "\n\n".join(m["content"] for m in chat)
        ids = tokenizer.apply_chat_template([{"role": "user", "content": merged}], **options)
    return list(ids)


def _plain(tokenizer: Any, text: str) -> str:
    """`text` without special tokens: an answer must not end its own message."""
    for token in tokenizer.added_tokens_decoder.values():
        if token.special and len(token.content) > 1:
            text = text.replace(token.content, f"{token.content[0]} {token.content[1:]}")
    return text.encode("utf-8", "replace").decode()


def _batches(groups: Iterable[list[_Prompted]], size: int) -> Iterator[list[_Prompted]]:
    """Batches of at most `size`, the longest prompts first; a group stays together unless it exceeds `size`."""
    batch: list[_Prompted] = []
    for group in sorted(groups, key=lambda group: -len(group[0][1])):
        for start in range(0, len(group), size):
            part = group[start : start + size]
            if len(batch) + len(part) > size:
                yield batch
                batch = []
            batch += part
    if batch:
        yield batch
