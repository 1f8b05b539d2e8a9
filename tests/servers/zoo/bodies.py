"""Endpoints whose replies of success hold no reply, always or now and then."""

from __future__ import annotations

import gzip
import json

from grading.failure import Cause
from tests.servers.zoo.habit import (
    TEXT,
    USAGE,
    Always,
    Answer,
    Ended,
    Habit,
    Json,
    answer,
    choice,
    error,
    good,
    google,
)


class EmptyChoices(Habit):
    source = "https://github.com/tenstorrent/tt-inference-server/issues/2592"

    def bad(self, body: Json) -> Answer:
        return answer(200, {"object": "chat.completion", "choices": []})

    def chat(self, body: Json, number: int) -> Answer:
        return self.bad(body) if number % 3 == 1 else good(body)


class NullChoices(EmptyChoices):
    source = "https://github.com/pydantic/pydantic-ai/issues/3994"

    def bad(self, body: Json) -> Answer:
        return answer(200, {"id": None, "choices": None, "model": None, "object": None})


class ChargedNullChoices(EmptyChoices):
    """The same with usage, which counts."""

    source = "https://github.com/pydantic/pydantic-ai/issues/3994"

    def bad(self, body: Json) -> Answer:
        return answer(200, {"choices": None, "usage": USAGE})


class NoMessage(EmptyChoices):
    source = "https://github.com/open-webui/computer/issues/293"

    def bad(self, body: Json) -> Answer:
        return answer(200, {"choices": [{"index": 0, "finish_reason": None}]})


class ChoiceWithError(EmptyChoices):
    """A choice that failed carries the provider's code."""

    source = "https://github.com/pydantic/pydantic-ai/issues/3994"

    def bad(self, body: Json) -> Answer:
        failed = choice("") | {"finish_reason": "error", "error": {"code": 502, "message": "Upstream error"}}
        return answer(200, {"choices": [failed]})


class OneFailedChoice(EmptyChoices):
    """One of several choices failed; the others are good, and `n` stays."""

    source = "https://github.com/open-webui/computer/issues/293"

    def bad(self, body: Json) -> Answer:
        choices = [choice(TEXT)] * body.get("n", 1)
        choices[0] = choice("") | {"finish_reason": "error", "error": {"code": 502, "message": "Upstream error"}}
        return answer(200, {"choices": choices, "usage": USAGE})


class LimitWithin(EmptyChoices):
    """A limit of the provider inside a success."""

    source = "https://github.com/open-webui/computer/issues/293"

    def bad(self, body: Json) -> Answer:
        raw = "z-ai/glm is temporarily rate-limited upstream. Please retry shortly."
        metadata = {"raw": raw, "provider_name": "BaseTen", "retry_after": 0.05}
        return answer(200, {"error": {"message": "Provider returned error", "code": 429, "metadata": metadata}})


class HtmlNowAndThen(EmptyChoices):
    source = "https://github.com/ChatGPTNextWeb/NextChat/issues/5008"

    def bad(self, body: Json) -> Answer:
        page = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"
        return answer(200, page, {"Content-Type": "text/html"})


class EventStream(EmptyChoices):
    source = "https://github.com/OpenRouterTeam/ai-sdk-provider/issues/194"

    def bad(self, body: Json) -> Answer:
        return answer(200, 'data: {"choices": [{"delta": {"content": "{"}}]}\n\ndata: [DONE]\n\n')


class BrokenOff(EmptyChoices):
    source = "https://github.com/cline/cline/issues/60"

    def bad(self, body: Json) -> Answer:
        return answer(200, good(body)[2][:80])


class ConnectionCut(EmptyChoices):
    source = "https://github.com/modelscope/evalscope/issues/851"

    def bad(self, body: Json) -> Answer:
        content = good(body)[2]
        return 200, {"Content-Length": str(len(content)), "Connection": "close"}, content[:80]


class EmptyBody(EmptyChoices):
    source = "https://github.com/OpenRouterTeam/ai-sdk-provider/issues/194"

    def bad(self, body: Json) -> Answer:
        return answer(200, "")


class ListBody(EmptyChoices):
    source = "made up: the list in which Gemini sends errors, as a success"

    def bad(self, body: Json) -> Answer:
        return answer(200, [google(503, "The model is overloaded.", "UNAVAILABLE")])


class CreditsWithin(Habit):
    """Credits run out inside a success."""

    source = "https://github.com/open-webui/computer/issues/293"
    outcome = Ended(Cause.CREDITS, "Insufficient credits")

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, {"error": {"message": "Insufficient credits. Add more.", "code": 402}})


class WebPage(Habit):
    """The address of a web page answers everything with itself."""

    source = "https://github.com/neavo/LinguaGacha/issues/137"
    outcome = Ended(Cause.NOT_A_CHAT, "Welcome")

    def models(self) -> Answer:
        return self.chat({}, 0)

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, "<html><head><title>Welcome</title></head></html>", {"Content-Type": "text/html"})


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


class PlainText(Habit):
    source = "https://github.com/xtekky/gpt4free/issues/2702"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, good(body)[2], {"Content-Type": "text/plain"})


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


class TrailingDone(Habit):
    """The end of a stream behind a complete reply."""

    source = "https://github.com/decolua/9router/issues/3492"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, good(body)[2] + b"\n\ndata: [DONE]\n\n", {"Content-Type": "text/event-stream"})


class AlwaysStreams(Habit):
    """Every reply is a stream of events."""

    source = "https://github.com/OpenRouterTeam/ai-sdk-provider/issues/194"
    outcome = Ended(Cause.NOT_A_CHAT, "an event stream came")

    def chat(self, body: Json, number: int) -> Answer:
        chunk = {"choices": [{"index": 0, "delta": {"content": TEXT}, "finish_reason": None}]}
        return answer(200, f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n", {"Content-Type": "text/event-stream"})


class DetailInSuccess(Always):
    source = "made up"
    outcome = Ended(Cause.NOT_A_CHAT, "Not Found")
    reply = answer(200, {"detail": "Not Found"})
    wasted = 5

    def models(self) -> Answer:
        return self.reply


class FinishNetworkError(EmptyChoices):
    """The inference was interrupted, and a part of the reply is there."""

    source = "https://github.com/BerriAI/litellm/pull/24373"

    def bad(self, body: Json) -> Answer:
        one = choice(TEXT[:40]) | {"finish_reason": "network_error"}
        return answer(200, {"choices": [one] * body.get("n", 1), "usage": USAGE})


class LimitWithinUncoded(EmptyChoices):
    """A limit inside a success, with a code of its own."""

    source = "https://platform.minimax.io/docs/api-reference/errorcode.md"

    def bad(self, body: Json) -> Answer:
        told = {"status_code": 1002, "status_msg": "rate limit"}
        return answer(200, {"choices": None, "base_resp": told})


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


class NullError(Habit):
    source = "made up"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, {"error": None, "choices": [choice(TEXT)] * body.get("n", 1), "usage": {}})


class LimitWithoutHeaders(EmptyChoices):
    source = "made up"

    def bad(self, body: Json) -> Answer:
        return answer(429, error("Rate limit reached for requests. Please try again in 20ms.", type="requests"))


class LimitAsPage(EmptyChoices):
    source = "made up: nginx"

    def bad(self, body: Json) -> Answer:
        page = "<html><head><title>429 Too Many Requests</title></head><body><center>nginx</center></body></html>"
        return answer(429, page, {"Content-Type": "text/html", "Retry-After": "0"})


class EmptyGateway(EmptyChoices):
    source = "made up"

    def bad(self, body: Json) -> Answer:
        return answer(502, "")


class ErrorAsEvent(Always):
    """The error is an event of a stream."""

    source = "made up"
    outcome = Ended(Cause.CREDITS, "Insufficient credits")
    reply = answer(200, 'data: {"error": {"message": "Insufficient credits", "code": 402}}\n\ndata: [DONE]\n\n')


class ReplyAsEvent(Habit):
    """A complete reply is the only event of a stream."""

    source = "made up"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, b"data: " + good(body)[2] + b"\n\ndata: [DONE]\n\n")


class Envelope(Always):
    """A gateway packs status and body into a success."""

    source = "made up after the envelopes of AWS Lambda"
    outcome = Ended(Cause.CREDITS, "Payment method declined")
    reply = answer(200, {"statusCode": 402, "body": '{"message": "Payment method declined"}'})


class LimitAsBadRequest(EmptyChoices):
    source = "made up"

    def bad(self, body: Json) -> Answer:
        return answer(400, error("Rate limit exceeded. Try again in 20ms", type="rate_limit_exceeded"))


class LimitInWords(EmptyChoices):
    """A limit of the minute that looks like a quota but for the time at its end."""

    source = "made up after the errors of Gemini"

    def bad(self, body: Json) -> Answer:
        return answer(429, error("You exceeded your current quota. Limit: 10\nPlease retry in 0.02s."))


class Upsell(EmptyChoices):
    """A limit of the minute whose words ask for money."""

    source = "made up after the errors of OpenRouter"

    def bad(self, body: Json) -> Answer:
        return answer(429, error("Rate limit exceeded: free-models-per-min. Add 10 credits for a higher one"))


class Cancelled(EmptyChoices):
    source = "made up: the status that Google gives to CANCELLED"

    def bad(self, body: Json) -> Answer:
        return answer(499, google(499, "The operation was cancelled.", "CANCELLED"))


class GenerationFailed(EmptyChoices):
    source = "made up after the errors of TGI"

    def bad(self, body: Json) -> Answer:
        return answer(424, {"error": "Request failed during generation", "error_type": "generation"})


class FailureAsBadRequest(EmptyChoices):
    """The status of the request's mistake, about the server's own."""

    source = "made up after the errors of Envoy"

    def bad(self, body: Json) -> Answer:
        return answer(400, error("upstream connect error or disconnect/reset before headers"))


HABITS: tuple[type[Habit], ...] = (
    EmptyChoices,
    NullChoices,
    ChargedNullChoices,
    NoMessage,
    ChoiceWithError,
    OneFailedChoice,
    LimitWithin,
    HtmlNowAndThen,
    EventStream,
    BrokenOff,
    ConnectionCut,
    EmptyBody,
    ListBody,
    CreditsWithin,
    WebPage,
    Gzipped,
    GzipInName,
    ChunkedCut,
    PlainText,
    NotANumber,
    ByteOrderMark,
    KeptAlive,
    KeptAliveByComments,
    TrailingDone,
    AlwaysStreams,
    DetailInSuccess,
    FinishNetworkError,
    LimitWithinUncoded,
    StatusOfItsOwn,
    ErrorCode,
    Passing,
    NullError,
    LimitWithoutHeaders,
    LimitAsPage,
    EmptyGateway,
    ErrorAsEvent,
    ReplyAsEvent,
    Envelope,
    LimitAsBadRequest,
    LimitInWords,
    Upsell,
    Cancelled,
    GenerationFailed,
    FailureAsBadRequest,
)
