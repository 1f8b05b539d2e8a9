"""A model as a pinned spec: which one, where, with which parameters. It is part of every result."""

from __future__ import annotations

import datetime
import os
import re
from typing import Any, ClassVar, Literal, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from grading.errors import UserError, first_fault
from grading.failure import Cause
from grading.keys import key_in_address, redact, register_keys
from grading.models.fingerprint import weights_fingerprint
from grading.models.price import Price, price_table
from grading.verdict import MOST_TOKENS, Usage

OPENAI_URL = "https://api.openai.com/v1"
LOCAL_PREFIX = "hf:"
_CHAT = "/chat/completions"
Spec = TypeVar("Spec", bound="ModelSpec")
MOST_SEED = 2**53  # up to which every reader of JSON takes an integer as it is


class ModelSpec(BaseModel):
    """Everything that identifies a model, whatever its role.

    `model` is the endpoint's model id, or, with kind "transformers", a Hugging Face directory or id that runs
    in this process. `temperature` is above 0, and None leaves it to the model. `max_tokens` bounds one reply.
    `reasoning_effort` goes to the endpoint as it is. With the response format "text" a reply is not bound to the
    JSON schema of a verdict. `price` overrides the price table. A key for its endpoint, if that is not the
    provider's own, is in the environment variable SKILLMIX_<ROLE>_API_KEY; a `keyless` endpoint gets none,
    because a file has named it and not the user.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    role: ClassVar[str] = "model"
    product: ClassVar[str] = "reply"

    model: str = Field(min_length=1)
    kind: Literal["openai", "transformers"] = "openai"
    base_url: str = OPENAI_URL
    temperature: float | None = Field(default=0.7, gt=0, le=2, strict=True)
    reasoning_effort: str | None = None
    response_format: Literal["json_schema", "text"] = "json_schema"
    max_tokens: int = Field(default=1024, ge=16, le=MOST_TOKENS, strict=True)
    seed: int = Field(default=0, ge=-MOST_SEED, le=MOST_SEED, strict=True)
    batch_size: int = Field(default=16, ge=1, strict=True)
    dtype: str | None = None
    shutdown: datetime.date | None = None
    price: Price | None = None
    keyless: bool = Field(default=False, exclude=True)
    _options: bool = PrivateAttr(
        default=False
    )  # whether messages name options of a command, or Python's arguments

    @field_validator("base_url")
    @classmethod
    def _without_secrets(cls, url: str) -> str:
        url = url.strip()
        if fault := _address_fault(url):
            raise ValueError(fault)
        if found := key_in_address(url):
            raise ValueError(
                f"keys come from the environment ({cls.variable('API_KEY')}), not in the address: it has {found}"
            )
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        if not path.endswith(_CHAT):
            return url
        return urlunsplit(parts._replace(path=path.removesuffix(_CHAT)))  # the form of lm-eval's students

    @classmethod
    def variable(cls, name: str) -> str:
        """The environment variable of this role for "MODEL", "BASE_URL" or "API_KEY"."""
        return f"SKILLMIX_{cls.role.upper()}_{name}"

    def option(self, name: str, value: str = "") -> str:
        """What sets "MODEL" or "BASE_URL" for this role, to `value`: an option or an argument, or the variable."""
        return f"{_setter(self.role, name, value, options=self._options)} (or {self.variable(name)})"

    def named(self, argument: str) -> str:
        """An argument of open_judge as its caller typed it: the option of a command, or its own name."""
        return f"--{argument.replace('_', '-')}" if self._options else argument

    def remedy(self, cause: Cause) -> str:
        """Advice for the user after a failure of its endpoint, as the end of a sentence."""
        model, url = self.option("MODEL"), self.option("BASE_URL")
        return {
            Cause.KEY: f"set {self.key_variable} to a valid key",
            Cause.CREDITS: "add credits or raise the quota of the account",
            Cause.MODEL: f"set {model} to a model that {self.base_url} serves",
            Cause.REGION: f"name another endpoint with {url}",
            Cause.NO_CHAT: f"set {url} to the right address, which usually ends in /v1",
            Cause.REFUSED: f"name another {self.role} with {model} and {url}, or change its parameters",
            Cause.TOO_LONG: f"set max_tokens lower, or name a {self.role} with a longer context with {model}",
            Cause.BUSY: "run it again later, or with a lower concurrency",
            Cause.SERVER: "run it again when the endpoint works",
            Cause.NO_REPLY: f"check the connection and {url}, then run it again",
            Cause.NOT_A_CHAT: f"check that {url} is the address of an OpenAI-compatible endpoint",
        }[cause]

    def url(self, route: str) -> str:
        """The address of a route such as "models"; a version in the query of `base_url` stays at its end."""
        parts = urlsplit(self.base_url)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{route}"))

    @property
    def key_variable(self) -> str:
        """The environment variable that holds the key for its endpoint."""
        return "OPENAI_API_KEY" if self.endpoint == "openai" else self.variable("API_KEY")

    @property
    def endpoint(self) -> str:
        """The kind of endpoint: the provider, any compatible server, or this process."""
        if self.kind == "transformers":
            return "transformers"
        parts = urlsplit(self.base_url)
        # Over plain http, or at another port, another party may answer, which must not get the provider's key.
        provider = (parts.scheme, parts.hostname) == ("https", "api.openai.com") and parts.port in (None, 443)
        return "openai" if provider else "openai-compatible"

    @property
    def provider(self) -> str:
        """The provider, as the price table names it: "openai", or the endpoint's host name."""
        return "openai" if self.endpoint == "openai" else urlsplit(self.base_url).hostname or ""

    def identity(self) -> dict[str, Any]:
        """The fields that a stored reply depends on, beside its messages and number; JSON-serialisable."""
        identity: dict[str, Any] = {
            "model": self.model,
            "endpoint": self.endpoint,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
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

    def own_parameters(self) -> dict[str, Any]:
        """The parameters of a request that models of this role alone have."""
        return {}

    def dollars(self, usage: Usage) -> float | None:
        """The cost of `usage`: zero in this process, and None if the price is unknown."""
        if self.price is not None:
            return self.price.dollars(usage)
        return 0.0 if self.kind == "transformers" else None

    def in_batches(self) -> Self:
        """The same model at the price of batches."""
        return self.model_copy(update={"price": self.price.in_batches()}) if self.price else self

    def api_key(self) -> str:
        """The key for its endpoint, from the environment; UserError if OpenAI's is missing, or it is invalid."""
        # The provider's key goes to the provider only: another address must not receive it.
        if self.endpoint == "openai":
            if "base_url" not in self.model_fields_set:
                refuse_other_address(
                    f"the {self.role} {self.model}",
                    f"name the address that you mean with {self.option('BASE_URL')} (its key goes into "
                    f"{self.variable('API_KEY')})",
                )
            key = clean_key("OPENAI_API_KEY")
            if not key:
                address = self.option("BASE_URL", "URL")
                local = _setter(self.role, "MODEL", f"{LOCAL_PREFIX}DIRECTORY", options=self._options)
                if self.price is not None:  # a model of OpenAI's
                    other = _setter(self.role, "MODEL", "NAME", options=self._options)
                    raise UserError(
                        f"The {self.role} `{self.model}` is at OpenAI, which needs a key: type "
                        f"`export OPENAI_API_KEY=...`, name another with {other} {address}, or one in "
                        f"this process with {local}."
                    )
                raise UserError(
                    f"`{self.model}` was looked for at OpenAI, which needs a key: add {address} for another "
                    f"endpoint, type `export OPENAI_API_KEY=...`, or name a model in this process with {local}."
                )
            return key
        return "none" if self.keyless else clean_key(self.variable("API_KEY")) or "none"


def _setter(role: str, name: str, value: str = "", *, options: bool) -> str:
    """The option of a command, or the argument of open_judge, for "MODEL" or "BASE_URL"; with its value."""
    if options:
        option = f"--{role}-base-url" if name == "BASE_URL" else f"--{role}"
        return f"{option} {value}".strip()
    argument = "base_url" if name == "BASE_URL" else role
    return f'{argument}="{value}"' if value else f"`{argument}`"


def refuse_other_address(what: str, advice: str) -> None:
    """Raise UserError if OPENAI_BASE_URL leads elsewhere than to OpenAI, where `what` is asked; see `advice`."""
    other = os.environ.get("OPENAI_BASE_URL", "").strip().rstrip("/")
    if other and other != OPENAI_URL:
        shown = redact(other) if key_in_address(other) is None else "another address"
        raise UserError(
            f"OPENAI_BASE_URL is {shown}, and {what} uses {OPENAI_URL}: {advice}, or unset OPENAI_BASE_URL."
        )


def _address_fault(url: str) -> str | None:
    """The fault of an address and what to type; None if it is valid."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"it is not an http or https address ({error})"
    if parts.scheme in ("http", "https") and host:
        return None
    fault = "it is not an http or https address"
    if key_in_address(url) or any(char.isspace() for char in url):
        return fault
    bare = url.strip("<>'\"")
    rest = re.sub(r"^(https?|[a-z][a-z0-9+.-]*:)?:?/+", "", bare, flags=re.IGNORECASE)
    near = rest.startswith(("localhost", "127.", "0.0.0.0", "[")) or re.match(r"(10|192\.168|172)\.", rest)  # noqa: S104
    scheme = "http" if near or bare.startswith("http:") else "https"
    path = "" if "/" in rest.rstrip("/") else "/v1"  # as most servers have it
    return f"{fault}: type {scheme}://{rest.rstrip('/')}{path}" if rest else fault


def clean_key(variable: str) -> str:
    """The key in an environment variable, without white space around it; UserError for what no header can hold."""
    key = os.environ.get(variable, "").strip()
    for place, char in enumerate(key, start=1):
        if not "!" <= char <= "~" or char in "'\"":
            raise UserError(
                f"The key in {variable} has an invalid character (U+{ord(char):04X} at position {place}): "
                "copy the key again, without quotation marks or spaces."
            )
    register_keys(key)
    return key


def make_spec(kind: type[Spec], fields: dict[str, Any], *, options: bool = False) -> Spec:
    """A spec of its fields; without a price it gets the one of the price table for its provider and model.

    With `options` a command made it, and messages name the command's options.
    Raises UserError in one sentence for a field that no spec has or a value that it cannot take.
    """
    try:
        spec = kind.model_validate(fields)
    except ValidationError as error:
        fault = first_fault(error)
        if fault.kind == "extra_forbidden":
            raise UserError(
                f"A {kind.role} has no field {fault.place!r}: there are {', '.join(kind.model_fields)}."
            ) from error
        what = {
            "base_url": f"address ({_setter(kind.role, 'BASE_URL', options=options)})",
            "": "fields",
        }.get(fault.place, fault.place)
        raise UserError(f"The {kind.role}'s {what} cannot be used: {fault.reason}.") from error
    spec._options = options  # noqa: SLF001
    if spec.kind == "openai":
        price = spec.price or price_table().get((spec.provider, spec.model))
        spec = spec.model_copy(update={"price": price.for_provider(spec.provider) if price else None})
    return spec
