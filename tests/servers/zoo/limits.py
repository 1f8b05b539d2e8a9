"""Endpoints that refuse everybody, or everybody for a while."""

from __future__ import annotations

from grading import State
from grading.failure import Cause
from tests.servers.zoo.habit import Answer, Ended, Habit, Json, Lost, answer, error, good, google


class Always(Habit):
    """Refuses every chat."""

    reply: Answer = answer(500, "")
    wasted = 2

    def chat(self, body: Json, number: int) -> Answer:
        return self.reply


class PaymentRequired(Always):
    source = "https://github.com/langchain-ai/langgraph/issues/2554"
    outcome = Ended(Cause.CREDITS, "Insufficient Balance")
    reply = answer(402, error("Insufficient Balance", type="unknown_error", code="invalid_request_error"))


class QuotaUsedUp(Always):
    source = "https://github.com/langchain-ai/langgraph/issues/2554"
    outcome = Ended(Cause.CREDITS, "exceeded your current quota")
    reply = answer(
        429,
        error(
            "You exceeded your current quota, please check your plan and billing details.",
            code="insufficient_quota",
        ),
    )


class AnthropicCredits(Always):
    source = "https://github.com/continuedev/continue/issues/5499"
    outcome = Ended(Cause.CREDITS, "credit balance is too low")
    reply = answer(
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "Your credit balance is too low to access the Anthropic API. ",
            },
        },
    )


class GeminiLimitZero(Always):
    """A limit of 0 with a delay that will not help."""

    source = "https://github.com/gke-labs/gemini-for-kubernetes-development/issues/1215"
    outcome = Ended(Cause.CREDITS, "limit: 0")
    reply = answer(
        429,
        [
            google(
                429,
                "You exceeded your current quota. Quota exceeded, limit: 0",
                "RESOURCE_EXHAUSTED",
                details=[{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "38s"}],
            )
        ],
    )


class GeminiPerDay(Always):
    source = "https://github.com/gke-labs/gemini-for-kubernetes-development/issues/1215"
    outcome = Ended(Cause.CREDITS, "current quota")
    reply = answer(
        429,
        google(
            429,
            "You exceeded your current quota.",
            "RESOURCE_EXHAUSTED",
            details=[
                {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
                {"retryDelay": "11s"},
            ],
        ),
    )


class WrongKey(Always):
    source = "https://developers.openai.com/api/docs/guides/error-codes"
    outcome = Ended(Cause.KEY, "Incorrect API key")
    reply = answer(401, error("Incorrect API key provided: sk-***.", code="invalid_api_key"))


class GeminiKey(Always):
    """A wrong key is a 400."""

    source = "https://ai.google.dev/gemini-api/docs/troubleshooting"
    outcome = Ended(Cause.KEY, "API key not valid")
    reply = answer(400, [google(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT")])


class GeminiRegion(Always):
    source = "https://github.com/FoundationAgents/OpenManus/issues/803"
    outcome = Ended(Cause.REGION, "User location is not supported")
    reply = answer(400, [google(400, "User location is not supported for the API use.", "FAILED_PRECONDITION")])


class OpenAIRegion(Always):
    source = "https://developers.openai.com/api/docs/supported-countries"
    outcome = Ended(Cause.REGION, "Country, region, or territory not supported")
    reply = answer(
        403, error("Country, region, or territory not supported", code="unsupported_country_region_territory")
    )


class UnknownModel(Always):
    source = "https://github.com/infiniflow/ragflow/issues/2359"
    outcome = Ended(Cause.MODEL, "No endpoints found for this model")
    reply = answer(404, {"error": {"message": "No endpoints found for this model.", "code": 404}})

    def models(self) -> Answer:
        return answer(200, {"data": [{"id": "other"}]})


class RetiredModel(Always):
    source = "https://docs.mistral.ai/models (retired models answer 400)"
    outcome = Ended(Cause.MODEL, "Invalid model: judge-1")
    reply = answer(
        400, {"object": "error", "message": "Invalid model: judge-1", "type": "invalid_model", "code": "1500"}
    )


class RetryInfo(Habit):
    """A limit by the minute whose delay stands in the body only."""

    source = "https://ai.google.dev/gemini-api/docs/rate-limits"

    def chat(self, body: Json, number: int) -> Answer:
        if number != 1:
            return good(body)
        details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.2s"}]
        message = "You exceeded your current quota, please check your plan and billing details."
        return answer(429, [{"error": {"code": 429, "message": message, "details": details}}])


class Overloaded(Habit):
    """529 of Anthropic and 503 of Gemini pass."""

    source = "https://docs.anthropic.com/en/api/errors"

    def chat(self, body: Json, number: int) -> Answer:
        if number in (0, 2):
            return answer(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
        return good(body)


class AzureFilter(Habit):
    """A content filter answers 400."""

    source = "https://learn.microsoft.com/en-us/azure/ai-foundry/openai/concepts/content-filter"
    outcome = Lost(State.REFUSED)
    wasted = 99

    def chat(self, body: Json, number: int) -> Answer:
        message = (
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
        )
        return answer(400, error(message, code="content_filter", param="prompt"))


class TooLong(Always):
    source = "https://github.com/vllm-project/vllm (error of the OpenAI server)"
    outcome = Ended(Cause.TOO_LONG, "maximum context length")
    wasted = 5
    reply = answer(
        400, error("This model's maximum context length is 512 tokens. However, you requested 1800 tokens.")
    )


HABITS = (
    PaymentRequired,
    QuotaUsedUp,
    AnthropicCredits,
    GeminiLimitZero,
    GeminiPerDay,
    WrongKey,
    GeminiKey,
    GeminiRegion,
    OpenAIRegion,
    UnknownModel,
    RetiredModel,
    RetryInfo,
    Overloaded,
    AzureFilter,
    TooLong,
)
