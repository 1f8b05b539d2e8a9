"""Habits that were written down before anything was made for them."""

from __future__ import annotations

import gzip
import json
from email.utils import formatdate
from time import time

from grading import State
from grading.failure import Cause
from tests.servers.zoo.bodies import EmptyChoices
from tests.servers.zoo.habit import (
    MODEL,
    TEXT,
    USAGE,
    Answer,
    Ended,
    Habit,
    Json,
    Lost,
    Whole,
    answer,
    choice,
    error,
    good,
)
from tests.servers.zoo.limits import Always


class Gzipped(Habit):
    source = "made up: the encoding that requests accept"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, gzip.compress(good(body)[2]), {"Content-Encoding": "gzip"})


class GzipInName(EmptyChoices):
    """A proxy says gzip about a plain body."""

    source = "made up"

    def bad(self, body: Json) -> Answer:
        return answer(200, good(body)[2], {"Content-Encoding": "gzip"})


class ChunkedCut(EmptyChoices):
    source = "https://github.com/modelscope/evalscope/issues/851"

    def bad(self, body: Json) -> Answer:
        content = good(body)[2]
        return (
            200,
            {"Transfer-Encoding": "chunked", "Connection": "close"},
            b"%x\r\n%b" % (len(content), content[:90]),
        )


class Redirect(Always):
    """A POST is sent elsewhere, to another host."""

    source = "made up: an address that has moved"
    outcome = Ended(Cause.NO_CHAT, "https://api.example.org/v1/chat/completions")
    reply = answer(308, "", {"Location": "https://api.example.org/v1/chat/completions"})

    def models(self) -> Answer:
        return answer(308, "", {"Location": "https://api.example.org/v1/models"})


class PlainText(Habit):
    source = "https://github.com/xtekky/gpt4free/issues/2702"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, good(body)[2], {"Content-Type": "text/plain"})


class NoUsage(Habit):
    source = "https://github.com/rowboatlabs/rowboat/issues/113"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, {"choices": [choice(TEXT)] * body.get("n", 1), "usage": None})


class UsageInWords(Habit):
    source = "made up"

    def chat(self, body: Json, number: int) -> Answer:
        usage = {"prompt_tokens": "100", "completion_tokens": "30", "total_tokens": "130"}
        return answer(200, {"choices": [choice(TEXT)] * body.get("n", 1), "usage": usage})


class TooManyChoices(Habit):
    source = "made up"

    def chat(self, body: Json, number: int) -> Answer:
        return good({"n": body.get("n", 1) + 2})


class Reversed(Habit):
    """Choices come as they end, not in the order of `index`."""

    source = "made up"

    def chat(self, body: Json, number: int) -> Answer:
        count = body.get("n", 1)
        choices = [{**choice(TEXT), "index": index} for index in reversed(range(count))]
        return answer(200, {"choices": choices, "usage": USAGE})


class FormAsTool(Habit):
    """A gateway makes a tool of the form, and leaves the reply there."""

    source = "https://github.com/BerriAI/litellm/issues/6741"

    def chat(self, body: Json, number: int) -> Answer:
        if "response_format" not in body:
            return good(body)
        call = {"id": "1", "type": "function", "function": {"name": "json_tool_call", "arguments": TEXT}}
        one = choice(None, tool_calls=[call]) | {"finish_reason": "tool_calls"}
        return answer(200, {"choices": [one] * body.get("n", 1), "usage": USAGE})


class NoFinish(Habit):
    source = "https://github.com/openai/openai-openapi/pull/20"
    finish: str | None = None

    def chat(self, body: Json, number: int) -> Answer:
        return answer(
            200, {"choices": [choice(TEXT) | {"finish_reason": self.finish}] * body.get("n", 1), "usage": USAGE}
        )


class EndOfSequence(NoFinish):
    source = "https://github.com/openai/openai-dotnet/pull/267"
    finish = "eos"


class FinishFilter(Habit):
    source = "https://github.com/bespokelabsai/curator/issues/261"
    outcome = Lost(State.REFUSED)
    wasted = 99
    finish = "content_filter"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, {"choices": [choice("") | {"finish_reason": self.finish}] * body.get("n", 1)})


class FinishSensitive(FinishFilter):
    source = "https://github.com/BerriAI/litellm/pull/24373"
    finish = "sensitive"


class FinishRecitation(FinishFilter):
    """And a message without content."""

    source = "made up after https://github.com/google/generative-ai-docs/issues/566"

    def chat(self, body: Json, number: int) -> Answer:
        one = {"index": 0, "message": {"role": "assistant"}, "finish_reason": "content_filter: RECITATION"}
        return answer(200, {"choices": [one] * body.get("n", 1)})


class NotANumber(Habit):
    """NaN is no JSON, and Python's json writes it."""

    source = "made up"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, json.loads(good(body)[2]) | {"timings": {"speed": float("nan")}})


class ByteOrderMark(Habit):
    source = "made up"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, b"\xef\xbb\xbf" + good(body)[2])


class KeptAlive(Habit):
    """Empty lines while the model thinks."""

    source = "https://api-docs.deepseek.com/quick_start/rate_limit"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, b"\n\n\r\n\n" + good(body)[2])


class KeptAliveByComments(Habit):
    """A router's comments, which belong into a stream of events."""

    source = "made up after https://github.com/mnfst/llm-gateway/issues/2053, where it is a stream"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" + good(body)[2])


class OddRateHeaders(Habit):
    source = "made up"

    def chat(self, body: Json, number: int) -> Answer:
        odd = {
            "x-ratelimit-limit-requests": "unlimited",
            "x-ratelimit-remaining-requests": "-1",
            "x-ratelimit-limit-tokens": "0",
            "x-ratelimit-remaining-tokens": "-1",
            "x-ratelimit-reset-tokens": "NaN",
            "x-ratelimit-reset-requests": "soon",
        }
        status, headers, content = good(body)
        return status, headers | odd, content


class RetryInThePast(Habit):
    source = "made up: a clock that is wrong"

    def chat(self, body: Json, number: int) -> Answer:
        if number != 1:
            return good(body)
        return answer(429, error("Slow down."), {"Retry-After": formatdate(time() - 3600, usegmt=True)})


class RetryTomorrow(Always):
    """A limit that lasts longer than any run waits."""

    source = "made up: a date, which Retry-After may be"
    outcome = Ended(Cause.CREDITS, "Daily limit")
    reply = answer(
        429, {"message": "Daily limit reached"}, {"Retry-After": formatdate(time() + 90000, usegmt=True)}
    )


class Passing(EmptyChoices):
    """Statuses that pass, each now and then."""

    source = "made up: Cloudflare's own statuses among those of HTTP that pass"
    statuses = (408, 409, 425, 520, 522, 524)

    def chat(self, body: Json, number: int) -> Answer:
        if number % 3 != 1:
            return good(body)
        status = self.statuses[number // 3 % len(self.statuses)]
        page = f"<html><head><title>Error {status}</title></head><body>cloudflare</body></html>"
        return answer(status, page, {"Content-Type": "text/html"})


class Loading(Habit):
    """The first requests come before the model is loaded."""

    source = "https://github.com/mostlygeek/llama-swap/issues/146"

    def __init__(self) -> None:
        self.came = 0

    def chat(self, body: Json, number: int) -> Answer:
        self.came += 1
        if self.came > 4:
            return good(body)
        return answer(503, error("Loading model", type="unavailable_error", code=503))

    def models(self) -> Answer:
        return answer(503, error("Loading model", type="unavailable_error", code=503))


class LoadingWithEstimate(Habit):
    source = "https://github.com/huggingface/transformers/issues/32665"

    def chat(self, body: Json, number: int) -> Answer:
        if number > 2:
            return good(body)
        return answer(503, {"error": f"Model {MODEL} is currently loading", "estimated_time": 0.1})


class RequestTooLarge(Always):
    """A request above the limit of a minute will never fit."""

    source = "https://github.com/assafelovic/gpt-researcher/issues/985"
    wasted = 5
    outcome = Ended(Cause.TOO_LONG, "Request too large for model")
    reply = answer(
        413,
        error(
            "Request too large for model `judge-1` on tokens per minute (TPM): Limit 600, Requested 1700",
            type="tokens",
            code="rate_limit_exceeded",
        ),
    )


class DetailInSuccess(Always):
    source = "made up"
    outcome = Ended(Cause.NOT_A_CHAT, "Not Found")
    reply = answer(200, {"detail": "Not Found"})
    wasted = 5

    def models(self) -> Answer:
        return self.reply


class NamesOnly(Habit):
    """A bare list of names."""

    source = "made up"

    def models(self) -> Answer:
        return answer(200, ["other", MODEL])


class OtherKeyOfTheList(Habit):
    source = "made up after Google's own list of models"

    def models(self) -> Answer:
        return answer(200, {"models": [{"name": f"models/{MODEL}"}], "nextPageToken": "abc"})


class KeyOnlyForChats(Always):
    """Anybody may list; only chats ask for a key."""

    source = "https://github.com/accomplish-ai/coworker/pull/208"
    outcome = Ended(Cause.KEY, "No auth credentials found")
    reply = answer(401, {"error": {"message": "No auth credentials found", "code": 401}})


class ChineseCredits(Always):
    source = "https://github.com/QuantumNous/new-api/issues/7448"
    outcome = Ended(Cause.CREDITS, "用户额度不足")
    reply = answer(
        403, error("用户额度不足, 剩余额度: $0.000000", type="new_api_error", code="insufficient_user_quota")
    )


class ChineseResources(Always):
    source = "https://github.com/continuedev/continue/issues/11823"
    outcome = Ended(Cause.CREDITS, "余额不足")
    reply = answer(429, {"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}})


class ChineseModel(Always):
    """503 about a model that no channel serves."""

    source = "https://github.com/songquanpeng/one-api/issues/2340"
    outcome = Ended(Cause.MODEL, "无可用渠道")
    reply = answer(
        503, error("当前分组 default 下对于模型 judge-1 无可用渠道", type="new_api_error", code="model_not_found")
    )

    def models(self) -> Answer:
        return answer(200, {"data": [{"id": "other"}]})


class Arrearage(Always):
    source = "https://github.com/hsliuping/TradingAgents-CN/issues/170"
    outcome = Ended(Cause.CREDITS, "good standing")
    reply = answer(
        400,
        {
            "error": {
                "code": "Arrearage",
                "message": "Access denied, please make sure your account is in good standing.",
                "type": "Arrearage",
            }
        },
    )


class StatusOfItsOwn(Always):
    """A success whose own status says that the balance is used up."""

    source = "made up after https://platform.minimax.io/docs/api-reference/errorcode.md"
    outcome = Ended(Cause.CREDITS, "insufficient balance")
    reply = answer(
        200, {"id": "", "choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}
    )


class ErrorCode(Always):
    """Another such success."""

    source = "made up after a report without an address"
    outcome = Ended(Cause.CREDITS, "daily request limit")
    reply = answer(200, {"error_code": 17, "error_msg": "Open api daily request limit reached"})


class ErrorsInAList(Habit):
    source = "https://github.com/cloudflare/ai/issues/279"
    outcome = Whole(("seed",))

    def chat(self, body: Json, number: int) -> Answer:
        if "seed" not in body:
            return good(body)
        message = "AiError: Bad input: Error: unexpected property '/seed'"
        return answer(400, {"errors": [{"message": message, "code": 5006}], "success": False, "result": {}})


class ValueOfConst(Habit):
    """FastAPI's list of problems about a value inside the form."""

    source = "made up after the problems that FastAPI lists"
    outcome = Whole(("json_schema",))

    def chat(self, body: Json, number: int) -> Answer:
        if (body.get("response_format") or {}).get("type") != "json_schema":
            return good(body)
        problem = {
            "loc": ["body", "response_format", "type"],
            "msg": "unexpected value; permitted: 'text', 'json_object'",
            "type": "value_error.const",
        }
        return answer(422, {"detail": [problem]})


class Xml(Habit):
    source = "made up"
    outcome = Whole(("seed",))

    def chat(self, body: Json, number: int) -> Answer:
        if "seed" not in body:
            return good(body)
        page = (
            '<?xml version="1.0"?><Error><Code>BadRequest</Code><Message>seed is not supported</Message></Error>'
        )
        return answer(400, page, {"Content-Type": "application/xml"})


class Problem(Habit):
    """application/problem+json."""

    source = "https://www.rfc-editor.org/rfc/rfc9457"
    outcome = Whole(("temperature",))

    def chat(self, body: Json, number: int) -> Answer:
        if "temperature" not in body:
            return good(body)
        problem = {
            "type": "about:blank",
            "title": "Bad Request",
            "status": 400,
            "detail": "temperature: not permitted",
        }
        return answer(400, problem, {"Content-Type": "application/problem+json"})


class CapitalMessage(Always):
    source = "made up"
    outcome = Ended(Cause.KEY, "not authorized")
    reply = answer(403, {"Message": "User: anonymous is not authorized to perform: bedrock:InvokeModel"})


class OnlyStreams(Always):
    """A model that only answers in streams."""

    source = "https://github.com/FoundationAgents/OpenManus/issues/330"
    wasted = 5
    outcome = Ended(Cause.REFUSED, "stream mode")
    reply = answer(
        400,
        error("This model only support stream mode, please enable the stream parameter to access the model. "),
    )


class AlwaysStreams(Habit):
    """Every reply is a stream of events."""

    source = "https://github.com/OpenRouterTeam/ai-sdk-provider/issues/194"
    outcome = Ended(Cause.NOT_A_CHAT, "data:")

    def chat(self, body: Json, number: int) -> Answer:
        chunk = {"choices": [{"index": 0, "delta": {"content": TEXT}, "finish_reason": None}]}
        return answer(200, f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n", {"Content-Type": "text/event-stream"})


class RangeOfTemperature(Habit):
    source = "made up"
    outcome = Whole(("temperature",))

    def chat(self, body: Json, number: int) -> Answer:
        if "temperature" not in body:
            return good(body)
        return answer(400, {"object": "error", "message": "temperature must be in [0, 0.5]", "code": 40001})


class NoSystemValue(Habit):
    source = "https://github.com/pydantic/pydantic-ai/issues/974"
    outcome = Whole(("system",))

    def chat(self, body: Json, number: int) -> Answer:
        if body["messages"][0]["role"] != "system":
            return good(body)
        message = "Unsupported value: 'messages[0].role' does not support 'system' with this model."
        return answer(400, error(message, param="messages[0].role", code="unsupported_value"))


class SchemaTooLarge(Habit):
    source = "https://github.com/flutter/genui/issues/428"
    outcome = Whole(("json_schema",))

    def chat(self, body: Json, number: int) -> Answer:
        if (body.get("response_format") or {}).get("type") != "json_schema":
            return good(body)
        message = "The specified schema produces a constraint that has too many states for serving."
        return answer(400, [{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}])


class TrailingDone(Habit):
    """The end of a stream behind a complete reply."""

    source = "https://github.com/decolua/9router/issues/3492"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, good(body)[2] + b"\n\ndata: [DONE]\n\n", {"Content-Type": "text/event-stream"})


class FinishNetworkError(EmptyChoices):
    """The inference was interrupted, and a part of the reply is there."""

    source = "https://github.com/BerriAI/litellm/pull/24373"

    def bad(self, body: Json) -> Answer:
        one = choice(TEXT[:40]) | {"finish_reason": "network_error"}
        return answer(200, {"choices": [one] * body.get("n", 1), "usage": USAGE})


class FinishWindow(Habit):
    """The context's window is full."""

    source = "https://github.com/mozilla-ai/any-llm/issues/1200"
    outcome = Lost(State.TRUNCATED)
    wasted = 99

    def chat(self, body: Json, number: int) -> Answer:
        one = choice(TEXT[:40]) | {"finish_reason": "model_context_window_exceeded"}
        return answer(200, {"choices": [one] * body.get("n", 1), "usage": USAGE})


class BalanceAsServerError(Always):
    source = "https://github.com/MiniMax-AI/MiniMax-M2/issues/62"
    outcome = Ended(Cause.CREDITS, "insufficient balance (1008)")
    reply = answer(
        500, {"type": "error", "error": {"type": "api_error", "message": "insufficient balance (1008)"}}
    )


class BalanceAsLimit(Always):
    source = "https://github.com/modelscope/modelscope/issues/1691"
    outcome = Ended(Cause.CREDITS, "insufficient balance (1008)")
    reply = answer(
        429,
        {
            "error": {
                "http_code": "429",
                "message": "insufficient balance (1008)",
                "type": "insufficient_balance_error",
            }
        },
    )


class UserQuota(Always):
    source = "https://github.com/songquanpeng/one-api/issues/1270"
    outcome = Ended(Cause.CREDITS, "user quota is not enough")
    reply = answer(403, error("user quota is not enough", type="one_api_error", code="insufficient_user_quota"))


class PaidBalance(Always):
    source = "https://github.com/FoundationAgents/OpenManus/issues/438"
    outcome = Ended(Cause.CREDITS, "Your paid balance is insufficient")
    reply = answer(
        403,
        {
            "code": 30011,
            "message": "The selected model requires paid balance. Your paid balance is insufficient.",
            "data": None,
        },
    )


class DropParameters(Habit):
    """A gateway that knows what a model takes, and says 500."""

    source = "https://github.com/BerriAI/litellm/issues/3923"
    outcome = Whole(("seed",))

    def chat(self, body: Json, number: int) -> Answer:
        if "seed" not in body:
            return good(body)
        message = "ollama does not support parameters: {'seed': 1}, for model=llama3:latest. To drop these, set `litellm.drop_params=True`"  # noqa: E501 - as it was reported
        return answer(500, {"error": {"message": message, "type": None, "param": None, "code": 500}})


HABITS = tuple(
    one
    for one in list(globals().values())
    if isinstance(one, type) and issubclass(one, Habit) and one.__module__ == __name__
)
