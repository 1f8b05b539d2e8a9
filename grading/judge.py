"""The judge as a pinned spec: which model, where, with which parameters. It is part of every result."""

from __future__ import annotations

import datetime
import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from grading.backend import Backend
from grading.errors import UserError
from grading.fingerprint import weights_fingerprint
from grading.price import Price, price_table
from grading.prompt import PROMPT_VERSION

OPENAI_URL = "https://api.openai.com/v1"
LOCAL_PREFIX = "hf:"


class JudgeSpec(BaseModel):
    """Everything that tells one judge from another.

    `model` is the endpoint's model id, or, with kind "transformers", a Hugging Face directory or id that runs
    in this process. Votes are sampled: `temperature` is above 0 (None leaves it to the model), and vote
    number v sends the seed `seed + v` where it is asked for alone. `max_tokens` bounds one reply.
    `reasoning_effort` goes to the endpoint as it is. With the response format "text" the reply is not bound to
    the verdict's JSON schema. `price` overrides the price table.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(min_length=1)
    kind: Literal["openai", "transformers"] = "openai"
    base_url: str = OPENAI_URL
    temperature: float | None = Field(default=0.7, gt=0, le=2)
    reasoning_effort: str | None = None
    response_format: Literal["json_schema", "text"] = "json_schema"
    max_tokens: int = Field(default=1024, ge=16)
    seed: int = 0
    votes: int = Field(default=3, ge=1)
    batch_size: int = Field(default=16, ge=1)
    dtype: str | None = None
    shutdown: datetime.date | None = None
    price: Price | None = None

    @field_validator("votes")
    @classmethod
    def _odd(cls, votes: int) -> int:
        if votes % 2 == 0:
            raise ValueError("a majority needs an odd number of votes")
        return votes

    @field_validator("base_url")
    @classmethod
    def _without_secrets(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it is not an http or https address")
        if parts.username or parts.password or parts.query:
            raise ValueError("keys come from the environment (SKILLMIX_JUDGE_API_KEY), not in the address")
        return url

    @model_validator(mode="after")
    def _sampled(self) -> JudgeSpec:
        if self.kind == "transformers" and self.temperature is None:
            raise ValueError("a judge in this process needs a temperature: without one all votes would be equal")
        return self

    @property
    def endpoint(self) -> str:
        """The kind of endpoint: the provider, any compatible server, or this process."""
        if self.kind == "transformers":
            return "transformers"
        return "openai" if urlsplit(self.base_url).hostname == "api.openai.com" else "openai-compatible"

    @property
    def provider(self) -> str:
        """Who is paid, as the price table names it: "openai", or the endpoint's host name."""
        return "openai" if self.endpoint == "openai" else urlsplit(self.base_url).hostname or ""

    def identity(self) -> dict[str, Any]:
        """What a stored vote depends on besides its messages and number; JSON-serialisable."""
        identity: dict[str, Any] = {
            "model": self.model,
            "endpoint": self.endpoint,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "prompt_version": PROMPT_VERSION,
        }
        if self.kind == "transformers":
            identity["weights"] = weights_fingerprint(self.model)
            identity["dtype"] = self.dtype
        # Only where they are set, so that votes keep the keys that they had before there were these.
        if self.reasoning_effort is not None:
            identity["reasoning_effort"] = self.reasoning_effort
        if self.response_format != "json_schema":
            identity["response_format"] = self.response_format
        return identity

    def record(self) -> dict[str, Any]:
        """The spec as results carry it: identity, votes and provenance, and no address."""
        return self.identity() | {
            "votes": self.votes,
            "reasoning_effort": self.reasoning_effort,
            "response_format": self.response_format,
            "shutdown": str(self.shutdown) if self.shutdown else None,
        }

    def backend(self, concurrency: int, *, adaptive: bool = True, batches: Path | None = None) -> Backend:
        """The judge itself; `concurrency` bounds the requests in flight of an HTTP endpoint, see Grader.

        With `batches`, the path of the verdict store, votes go through the endpoint's Batch API.
        """
        if self.kind == "transformers":
            if batches:
                raise UserError(
                    f"The judge {LOCAL_PREFIX}{self.model} runs in this process and has no Batch API: leave out "
                    "the setting `batch`."
                )
            from grading.local import LocalBackend  # needs torch

            return LocalBackend(
                self.model,
                temperature=self.temperature or 0.0,  # never 0: see _sampled
                max_tokens=self.max_tokens,
                batch_size=self.batch_size,
                dtype=self.dtype,
            )
        if batches:
            from grading.batch import BatchBackend

            return BatchBackend(self, api_key=self._api_key(), store=batches)
        from grading.endpoint import OpenAIBackend

        return OpenAIBackend(self, api_key=self._api_key(), concurrency=concurrency, adaptive=adaptive)

    def in_batches(self) -> JudgeSpec:
        """The same judge at the price of batches."""
        return self.model_copy(update={"price": self.price.in_batches()}) if self.price else self

    def _api_key(self) -> str:
        # The provider's key goes to the provider only: another address must not receive it.
        if self.endpoint == "openai":
            key = os.environ.get("OPENAI_API_KEY", "")
            if not key:
                raise UserError(
                    f"The judge {self.model} needs a key: type `export OPENAI_API_KEY=...`, or name another "
                    "judge with SKILLMIX_JUDGE_MODEL and SKILLMIX_JUDGE_BASE_URL (any OpenAI-compatible "
                    "endpoint; its key, if it needs one, in SKILLMIX_JUDGE_API_KEY) or with "
                    f"SKILLMIX_JUDGE_MODEL={LOCAL_PREFIX}DIRECTORY (a Hugging Face model in this process)."
                )
            return key
        return os.environ.get("SKILLMIX_JUDGE_API_KEY") or "none"


@cache
def _table() -> Any:
    return yaml.safe_load(files("grading").joinpath("judges.yaml").read_text(encoding="utf-8"))


@cache
def known_judges() -> dict[str, JudgeSpec]:
    """The judges of judges.yaml by name, without their prices."""
    return {name: JudgeSpec.model_validate(spec) for name, spec in _table()["judges"].items()}


def default_judge() -> str:
    """The name of the judge that is used when none is named."""
    return str(_table()["default"])


def resolve_judge(judge: str | dict[str, Any], **overrides: Any) -> JudgeSpec:
    """Make the spec of a judge from its name in judges.yaml, a model id, `hf:DIRECTORY`, or a spec's fields.

    `overrides` are further fields; those that are None leave the spec as it is. A spec without a price gets the
    one of the price table (grading.price) for its provider and model.
    Raises UserError in one sentence for a field that no spec has or a value that it cannot take.
    """
    if isinstance(judge, str):
        if judge.startswith(LOCAL_PREFIX):
            fields: dict[str, Any] = {"kind": "transformers", "model": judge.removeprefix(LOCAL_PREFIX)}
        elif judge in known_judges():
            fields = known_judges()[judge].model_dump()
        else:
            fields = {"model": judge}
    else:
        fields = dict(judge)
    fields |= {name: value for name, value in overrides.items() if value is not None}
    try:
        spec = JudgeSpec.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"The judge's setting {'.'.join(map(str, first['loc']))!r} is wrong ({first['msg']}); "
            f"a judge has: {', '.join(JudgeSpec.model_fields)}."
        ) from error
    if spec.kind == "openai":
        price = spec.price or price_table().get((spec.provider, spec.model))
        spec = spec.model_copy(update={"price": price.for_provider(spec.provider) if price else None})
    return spec
