"""Endpoints that refuse everybody, or everybody for a while."""

from __future__ import annotations

from email.utils import formatdate
from time import time

from grading import State
from grading.failure import Cause
from tests.servers.zoo.habit import (
    MODEL,
    Always,
    Answer,
    Ended,
    Habit,
    Json,
    Lost,
    answer,
    anthropic,
    error,
    good,
    google,
)


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
    reply = answer(400, anthropic("Your credit balance is too low to access the Anthropic API. "))


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
    source = "https://github.com/mistralai/mistral-vibe/issues/617"
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
            return answer(529, anthropic("Overloaded", "overloaded_error"))
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
    source = "https://github.com/vllm-project/vllm/issues/20409"
    outcome = Ended(Cause.TOO_LONG, "maximum context length")
    wasted = 5
    reply = answer(
        400, error("This model's maximum context length is 512 tokens. However, you requested 1800 tokens.")
    )


class Redirect(Always):
    """A POST is sent elsewhere, to another host."""

    source = "made up: an address that has moved"
    outcome = Ended(Cause.NO_CHAT, "https://api.example.org/v1/chat/completions")
    reply = answer(308, "", {"Location": "https://api.example.org/v1/chat/completions"})

    def models(self) -> Answer:
        return answer(308, "", {"Location": "https://api.example.org/v1/models"})


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


class Loading(Habit):
    """The first requests come before the model is loaded."""

    source = "https://github.com/mostlygeek/llama-swap/issues/146"

    def __init__(self) -> None:
        self.came = 0

    def chat(self, body: Json, number: int) -> Answer:
        self.came += 1
        if self.came > 2:
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


class RequestTooLargeAsLimit(Always):
    """The same as a limit, which no wait satisfies."""

    source = "https://github.com/vanna-ai/vanna-flask/issues/11"
    wasted = 5
    outcome = Ended(Cause.TOO_LONG, "Request too large for judge-1")
    reply = answer(
        429,
        error("Request too large for judge-1 on tokens per min (TPM): Limit 300, Requested 3423.", type="tokens"),
    )


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


class ChineseFilter(Habit):
    """Zhipu's filter."""

    source = "made up after a report without an address"
    outcome = Lost(State.REFUSED)
    wasted = 99

    def chat(self, body: Json, number: int) -> Answer:
        return answer(
            400, {"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}}
        )


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


class BalanceAsServerError(Always):
    source = "https://github.com/MiniMax-AI/MiniMax-M2/issues/62"
    outcome = Ended(Cause.CREDITS, "insufficient balance (1008)")
    reply = answer(500, anthropic("insufficient balance (1008)", "api_error"))


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


class Firewall(Always):
    source = "made up: Cloudflare's page for those it blocks"
    outcome = Ended(Cause.REFUSED, "Attention Required! | Cloudflare")
    wasted = 5
    reply = answer(403, "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head></html>")


class NoAccess(Always):
    source = "made up"
    outcome = Ended(Cause.MODEL, "does not exist or you do not have access")
    reply = answer(
        404,
        error("The model `judge-1` does not exist or you do not have access to it.", code="model_not_found"),
    )

    def models(self) -> Answer:
        return answer(200, {"data": []})


class WrongPath(Always):
    source = "made up: nginx"
    outcome = Ended(Cause.NO_CHAT, "404 Not Found")
    reply = answer(404, "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body></body></html>")

    def models(self) -> Answer:
        return self.reply


class WrongMethod(Always):
    source = "made up"
    outcome = Ended(Cause.NO_CHAT, "Method Not Allowed")
    reply = answer(405, {"detail": "Method Not Allowed"})

    def models(self) -> Answer:
        return answer(404, {"detail": "Not Found"})


class SilentKey(Always):
    source = "made up"
    outcome = Ended(Cause.KEY, "")
    reply = answer(401, "", {"WWW-Authenticate": "Bearer"})


class MostTokens(Always):
    """The limit of tokens is above what the model may write."""

    source = "made up"
    outcome = Ended(Cause.TOO_LONG, "max_tokens must be less than or equal to 32")
    wasted = 5

    def chat(self, body: Json, number: int) -> Answer:
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        if limit > 32:
            return answer(400, error("max_tokens must be less than or equal to 32, the maximum for this model."))
        return good(body)


class UsageLimits(Always):
    """Anthropic's limit that the account has set itself."""

    source = "made up after a report without an address"
    outcome = Ended(Cause.CREDITS, "You have reached your specified API usage limits")
    reply = answer(400, anthropic("You have reached your specified API usage limits."))


class QuotaMetric(Always):
    source = "made up after a report without an address"
    outcome = Ended(Cause.CREDITS, "Quota exceeded for quota metric")
    reply = answer(
        429,
        [
            google(
                429,
                "Quota exceeded for quota metric 'Requests' and limit 'Requests per day'",
                "RESOURCE_EXHAUSTED",
            )
        ],
    )


class BillingDisabled(Always):
    source = "made up after a report without an address"
    outcome = Ended(Cause.CREDITS, "requires billing to be enabled")
    reply = answer(403, [google(403, "This API method requires billing to be enabled.", "PERMISSION_DENIED")])


class TrialKey(Always):
    """Cohere's limit for a month."""

    source = "made up after a report without an address"
    outcome = Ended(Cause.CREDITS, "limited to 1000 API calls / month")
    reply = answer(429, {"message": "You are using a Trial key, which is limited to 1000 API calls / month."})


class InferenceProfile(Always):
    """Bedrock's models that are asked for by another name."""

    source = "made up after a report without an address"
    outcome = Ended(Cause.MODEL, "on-demand throughput isn't supported")
    reply = answer(400, {"message": "Invocation of model ID judge-1 with on-demand throughput isn't supported."})

    def models(self) -> Answer:
        return answer(404, "")


class InputValidation(Always):
    """TGI's words for a prompt and a limit that do not fit together."""

    source = "made up after a report without an address"
    outcome = Ended(Cause.TOO_LONG, "must be <= 512")
    wasted = 5
    reply = answer(
        422,
        {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 512."},
    )


class LoadingLong(Loading):
    """Takes longer than a few attempts."""

    source = "https://github.com/mostlygeek/llama-swap/issues/146"

    def chat(self, body: Json, number: int) -> Answer:
        self.came += 1
        return good(body) if self.came > 12 else answer(503, error("Loading model", code=503))


class LoadingBehindItsList(LoadingLong):
    """The list is there first, so that the run meets the model that is still loading."""

    source = "made up"

    def models(self) -> Answer:
        return Habit.models(self)


class CreditLimit(Always):
    source = "made up after the errors of Together"
    outcome = Ended(Cause.CREDITS, "Credit limit exceeded")
    reply = answer(429, error("Credit limit exceeded, please update your payment", type="credit_limit"))


class TopUp(Always):
    source = "made up after the errors of DeepInfra"
    outcome = Ended(Cause.CREDITS, "top up your balance")
    reply = answer(403, {"detail": {"error": "inference prohibited, please top up your balance"}})


class NoCreditsYet(Always):
    source = "made up after the errors of xAI"
    outcome = Ended(Cause.CREDITS, "doesn't have any credits")
    reply = answer(
        403,
        {
            "code": "The caller does not have permission to execute the specified operation",
            "error": "Your newly created team doesn't have any credits yet.",
        },
    )


class Suspended(Always):
    """412 for an account that did not pay."""

    source = "made up after the errors of Fireworks"
    outcome = Ended(Cause.CREDITS, "is suspended")
    reply = answer(412, error("Account acct is suspended, possibly due to failure to pay past invoices."))


class Inactive(Always):
    """401 with a valid key."""

    source = "made up after the errors of Mistral"
    outcome = Ended(Cause.CREDITS, "usage limit reached")
    reply = answer(401, {"detail": "Inactive subscription or usage limit reached"})


class SpendCap(Always):
    source = "made up"
    outcome = Ended(Cause.CREDITS, "monthly spend cap")
    reply = answer(400, anthropic("Your workspace has hit its monthly spend cap."))


class NoKeySupplied(Always):
    source = "made up"
    outcome = Ended(Cause.KEY, "No API key supplied")
    reply = answer(400, {"title": "Bad Request", "detail": "No API key supplied in the header"})


class NoAccessToId(Always):
    source = "made up after the errors of Bedrock"
    outcome = Ended(Cause.MODEL, "don't have access to the model")
    reply = answer(403, {"message": "You don't have access to the model with the specified model ID."})


class WrongIdentifier(Always):
    source = "made up after the errors of Bedrock"
    outcome = Ended(Cause.MODEL, "identifier is invalid")
    reply = answer(400, {"message": "The provided model identifier is invalid."})


class NothingLoaded(Always):
    """404 about the model, not about the address."""

    source = "made up after the errors of LM Studio"
    outcome = Ended(Cause.MODEL, "No models loaded")
    reply = answer(404, error("No models loaded. Please load a model in the developer page."))


class NoProviders(Always):
    source = "made up after the errors of OpenRouter"
    outcome = Ended(Cause.MODEL, "No allowed providers")
    reply = answer(404, {"error": {"message": "No allowed providers are available for it.", "code": 404}})


class NotAChatModel(Always):
    source = "made up after the errors of OpenAI"
    outcome = Ended(Cause.MODEL, "not a chat model")
    reply = answer(400, error("judge-1 is not a chat model and thus not supported here.", param="model"))


class CountryBlocked(Always):
    source = "made up"
    outcome = Ended(Cause.REGION, "your country")
    reply = answer(403, {"error": {"code": 403, "message": "Requests from your country are blocked."}})


class InputCount(Always):
    source = "made up after the errors of Gemini"
    wasted = 5
    outcome = Ended(Cause.TOO_LONG, "input token count")
    reply = answer(
        400,
        [google(400, "The input token count (1800) exceeds the maximum number of tokens.", "INVALID_ARGUMENT")],
    )


class Guidelines(AzureFilter):
    """A filter whose status is that of a wrong key."""

    source = "made up after the errors of xAI"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(403, {"code": "No permission", "error": "Content violates usage guidelines."})


class HighRisk(AzureFilter):
    source = "made up after the errors of StepFun"

    def chat(self, body: Json, number: int) -> Answer:
        return answer(451, error("The request was rejected because it was considered high risk"))


class TokenExpired(Always):
    source = "https://www.rfc-editor.org/rfc/rfc6750"
    outcome = Ended(Cause.KEY, "The access token expired")
    reply = answer(400, {"error": "invalid_token", "error_description": "The access token expired"})


class EndOfLife(Always):
    source = "made up"
    outcome = Ended(Cause.MODEL, "end of life")
    reply = answer(410, error("judge-1 reached its end of life on 2026-10-01"))


class Jurisdiction(Always):
    source = "https://www.rfc-editor.org/rfc/rfc7725"
    outcome = Ended(Cause.REGION, "jurisdiction")
    reply = answer(451, error("Unavailable in your jurisdiction"))


HABITS: tuple[type[Habit], ...] = (
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
    Redirect,
    OddRateHeaders,
    RetryInThePast,
    RetryTomorrow,
    Loading,
    LoadingWithEstimate,
    RequestTooLarge,
    RequestTooLargeAsLimit,
    KeyOnlyForChats,
    ChineseCredits,
    ChineseResources,
    ChineseModel,
    ChineseFilter,
    Arrearage,
    BalanceAsServerError,
    BalanceAsLimit,
    UserQuota,
    PaidBalance,
    CapitalMessage,
    OnlyStreams,
    Firewall,
    NoAccess,
    WrongPath,
    WrongMethod,
    SilentKey,
    MostTokens,
    UsageLimits,
    QuotaMetric,
    BillingDisabled,
    TrialKey,
    InferenceProfile,
    InputValidation,
    LoadingLong,
    LoadingBehindItsList,
    CreditLimit,
    TopUp,
    NoCreditsYet,
    Suspended,
    Inactive,
    SpendCap,
    NoKeySupplied,
    NoAccessToId,
    WrongIdentifier,
    NothingLoaded,
    NoProviders,
    NotAChatModel,
    CountryBlocked,
    InputCount,
    Guidelines,
    HighRisk,
    TokenExpired,
    EndOfLife,
    Jurisdiction,
)
