"""The bodies of chat completions: what is wrong with a request, choices, faults in them, and usage."""

from __future__ import annotations

import json
from typing import Any

from tests.servers.behaviour import Behaviour
from tests.servers.draw import digest, fraction
from tests.servers.faults import REASONING, REFUSAL, error_body
from tests.servers.gullible import gullible_verdict
from tests.servers.judge import (
    JudgePrompt,
    in_order_of,
    in_prose,
    recorded_verdict,
    schema_problem,
    verdict,
    vote_seed,
    whole_verdict,
)
from tests.servers.student import last_user_text, sound_text, student_text, text_of

_CACHE_BLOCK = 32  # words; a provider caches whole blocks, too

Json = dict[str, Any]


def problem_of(body: Json, behaviour: Behaviour) -> tuple[int, Json] | None:
    """Status and error body for a request that this server does not take; None if it takes it."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        return 400, error_body("you must provide a model parameter")
    if behaviour.models is not None and model not in {model_card(entry)["id"] for entry in behaviour.models}:
        return 404, no_such_model(model)
    if body.get("stream"):
        return 400, error_body("Streaming is not supported.", param="stream", code="unsupported_value")
    if behaviour.temperature == "refuse" and body.get("temperature", 1) != 1:
        message = (
            f"Unsupported value: 'temperature' does not support {body['temperature']} with this model. "
            "Only the default (1) value is supported."
        )
        return 400, error_body(message, param="temperature", code="unsupported_value")
    if behaviour.max_tokens == "refuse" and "max_tokens" in body:
        message = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead."
        )
        return 400, error_body(message, param="max_tokens", code="unsupported_parameter")
    for name in behaviour.refuse_params:
        if name in body:
            message = f"Unsupported parameter: '{name}' is not supported with this model."
            return 400, error_body(message, param=name, code="unsupported_parameter")
    return _format_problem(body.get("response_format"), behaviour)


def _format_problem(response_format: Any, behaviour: Behaviour) -> tuple[int, Json] | None:
    if response_format is None:
        return None
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind in {"text", "json_object"}:
        return None
    if kind != "json_schema" or behaviour.json_schema == "refuse":
        message = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
        return 400, error_body(message, param="response_format")
    given = response_format.get("json_schema")
    if not isinstance(given, dict) or not given.get("name"):
        message = "Missing required parameter: 'response_format.json_schema.name'."
        return 400, error_body(
            message, param="response_format.json_schema.name", code="missing_required_parameter"
        )
    problem = schema_problem(given.get("schema")) if given.get("strict") else None
    if problem:
        message = f"Invalid schema for response_format '{given['name']}': In context=(), {problem}"
        return 400, error_body(message, param="response_format", code="invalid_json_schema")
    return None


def no_such_model(model: str) -> Json:
    message = f"The model `{model}` does not exist or you do not have access to it."
    return error_body(message, code="model_not_found")


def model_card(entry: str | Json) -> Json:
    """A model as /v1/models lists it."""
    extra = {"id": entry} if isinstance(entry, str) else entry
    return {"object": "model", "created": 1_700_000_000, "owned_by": "tests", **extra}


def build(
    body: Json,
    prompt: JudgePrompt | None,
    fault: str | None,
    said: Json | None,
    behaviour: Behaviour,
    cached: int,
) -> Json:
    """The completion for a request; `said`, if given, is a script's text in place of the computed one."""
    count = int(body.get("n") or 1) if behaviour.n == "honour" else 1
    choices = []
    completion = reasoning = 0
    for index in range(count):
        marks = _marks(body, prompt, index, fault, behaviour)
        if said is not None:
            text = said["content"]
        elif marks is not None:
            text = _judged(body, marks, fault, behaviour)
        else:
            text = _written(body, index, behaviour)
        message, finish = _message(text, body, fault)
        if said is not None and "finish_reason" in said:
            finish = said["finish_reason"]
        completion += word_count(message["content"] or message.get("refusal") or "")
        reasoning += word_count(message.get("reasoning_content", ""))
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": finish})
    asked = len(prompt_words(body))
    return {
        "id": f"chatcmpl-{digest(body)[:24]}",
        "object": "chat.completion",
        "created": 1_700_000_000,  # no clock: the same request gets the same bytes
        "model": body["model"],
        "choices": [] if fault == "no-choices" else choices,
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": completion + reasoning,
            "total_tokens": asked + completion + reasoning,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        },
    }


def _written(body: Json, index: int, behaviour: Behaviour) -> str:
    if isinstance(behaviour.student, dict):
        return behaviour.student["text"]
    if behaviour.student == "echo":
        return last_user_text(body["messages"])
    if behaviour.student == "one sentence":
        return sound_text(body["messages"], body.get("seed"), index)
    return student_text(body["messages"], body.get("seed"), index)


def _marks(body: Json, prompt: JudgePrompt | None, index: int, fault: str | None, behaviour: Behaviour) -> Any:
    """The judge's marks by criterion; None for a request to the student."""
    if behaviour.gullible is not None:
        return gullible_verdict(last_user_text(body["messages"]), behaviour.gullible)
    if prompt is None:
        return None
    if behaviour.recorded is not None:
        return recorded_verdict(prompt, behaviour.recorded[prompt.answer], behaviour.flips.get(body["model"], 0.0))
    seed = None if behaviour.steady else vote_seed(body.get("seed"), index)
    share = behaviour.whole.get(str(len(prompt.criteria)))
    if share is not None:
        return whole_verdict(prompt.answer, prompt.criteria, seed, share)
    return verdict(prompt.answer, prompt.criteria, seed, behaviour.earn, lies=fault == "false-quote")


def _judged(body: Json, marks: dict[str, Json], fault: str | None, behaviour: Behaviour) -> str:
    if fault == "bad-content":
        return "The text meets all of the criteria, well done."
    if fault == "wrong-schema":
        return json.dumps({"score": 7, "comment": "A good text."})
    wanted = body.get("response_format") or {}
    if fault == "missing-criterion":
        del marks[list(marks)[int(fraction("missing", body) * len(marks))]]
    if wanted.get("type") == "json_schema" and behaviour.json_schema == "honour":
        return json.dumps(in_order_of(wanted["json_schema"]["schema"], marks), ensure_ascii=False)
    if wanted.get("type") == "json_object" or behaviour.json_schema == "honour":
        return json.dumps(marks, ensure_ascii=False)
    return in_prose(marks)


def _message(text: str | None, body: Json, fault: str | None) -> tuple[Json, str]:
    """The assistant's message and its finish_reason."""
    message: Json = {"role": "assistant", "content": text, "refusal": None}
    if fault == "truncated":
        return {**message, "content": (text or "")[: len(text or "") // 2]}, "length"
    if fault == "refusal":
        return {**message, "content": None, "refusal": REFUSAL}, "stop"
    if fault == "refusal-text":
        return {**message, "content": REFUSAL}, "stop"
    if fault == "content-filter":
        return {**message, "content": None}, "content_filter"
    if fault == "empty":
        return {**message, "content": ""}, "stop"
    if fault == "reasoning-only":
        return {**message, "content": "", "reasoning_content": REASONING}, "length"
    if text is None:
        return message, "stop"
    stops = body.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.partition(stop)[0] if stop else text
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit and word_count(text) > limit:
        return {**message, "content": " ".join(text.split()[:limit])}, "length"
    return {**message, "content": text}, "stop"


def word_count(text: str) -> int:
    return len(text.split())


def prompt_words(body: Json) -> list[str]:
    return [word for message in body["messages"] for word in text_of(message).split()]


def count_cached(body: Json, seen: set[str]) -> int:
    """How many words at the prompt's beginning were seen before; afterwards all of them are."""
    words = prompt_words(body)
    cached, chain, unbroken = 0, "", True
    for start in range(0, len(words) - _CACHE_BLOCK + 1, _CACHE_BLOCK):
        chain = digest(body["model"], chain, words[start : start + _CACHE_BLOCK])
        unbroken = unbroken and chain in seen
        cached += _CACHE_BLOCK if unbroken else 0
        seen.add(chain)
    return cached
