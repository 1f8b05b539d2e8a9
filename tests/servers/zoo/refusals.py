"""Endpoints that refuse a part of the request, in every shape of an error."""

from __future__ import annotations

from tests.servers.zoo.habit import Answer, Habit, Json, Whole, answer, anthropic, error, good, google


def _form(body: Json) -> str | None:
    return body["response_format"]["type"] if "response_format" in body else None


class DeepSeekForm(Habit):
    """Knows no json_schema, names no parameter, and wants the word "json" in the prompt for json_object."""

    source = "https://github.com/BerriAI/litellm/issues/31466"
    outcome = Whole(("json_schema",))

    def chat(self, body: Json, number: int) -> Answer:
        if _form(body) == "json_schema":
            return answer(400, error("This response_format type is unavailable now"))
        if _form(body) and "json" not in str(body["messages"]).lower():
            return answer(400, error("Prompt must contain the word 'json' in some form to use 'response_format'."))
        return good(body)


class NoForm(Habit):
    """Takes no response_format at all, and says so in a text in place of an object."""

    source = "https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/169"
    outcome = Whole(("response_format",))

    def chat(self, body: Json, number: int) -> Answer:
        if _form(body) == "json_schema":
            return answer(400, {"error": "'response_format.type' must be 'text'"})
        return answer(400, {"error": "'response_format.type' must be 'text'"}) if _form(body) else good(body)


class GeminiSeed(Habit):
    """The body of the error is a list, and the field is an unknown name."""

    source = "https://github.com/Vali-98/ChatterUI/issues/227"
    outcome = Whole(("seed",))

    def chat(self, body: Json, number: int) -> Answer:
        if "seed" not in body:
            return good(body)
        message = 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'
        details = [
            {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"description": message}]}
        ]
        return answer(400, [google(400, message, "INVALID_ARGUMENT", details=details)])


class MistralExtra(Habit):
    """The message is an object of pydantic's problems."""

    source = "https://github.com/crewAIInc/crewAI/issues/60"
    outcome = Whole(("seed",))

    def chat(self, body: Json, number: int) -> Answer:
        extra = [name for name in ("n", "seed") if name in body]
        problems = [
            {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": 1}
            for name in extra
        ]
        if extra:
            return answer(
                422, {"object": "error", "message": {"detail": problems}, "type": "invalid_request_error"}
            )
        return good(body)


class MistralProxy(Habit):
    """The message is JSON inside a text."""

    source = "https://github.com/mistralai/platform-docs-public/issues/7"
    outcome = Whole(("temperature",))

    def chat(self, body: Json, number: int) -> Answer:
        if "temperature" not in body:
            return good(body)
        message = (
            '{"detail":[{"type":"extra_forbidden","loc":["body","temperature"],"msg":"Extra inputs are not permitted",'  # noqa: E501 - as it was reported
            '"input":0.0,"url":"https://errors.pydantic.dev/2.5/v/extra_forbidden"}]}'
        )
        return answer(422, {"object": "error", "message": message, "type": "internal_error_proxy", "code": "1000"})


class OldOpenAI(Habit):
    """Names the argument without quotation marks."""

    source = "https://github.com/OpenHands/OpenHands/issues/6777"
    outcome = Whole(("seed",))

    def chat(self, body: Json, number: int) -> Answer:
        return answer(400, error("Unrecognized request argument supplied: seed")) if "seed" in body else good(body)


class OnlyCompletionTokens(Habit):
    """Reasoning models of OpenAI."""

    source = "https://github.com/fish2018/YPrompt/issues/26"
    outcome = Whole(("max_tokens", "temperature"))

    def chat(self, body: Json, number: int) -> Answer:
        if "max_tokens" in body:
            message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."  # noqa: E501 - as it was reported
            return answer(400, error(message, param="max_tokens", code="unsupported_parameter"))
        if body.get("temperature", 1) != 1:
            message = (
                "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value"
            )
            return answer(400, error(message, param="temperature", code="unsupported_value"))
        return good(body)


class LlamaCppChoices(Habit):
    """Answers 500 to more than one choice."""

    source = "https://github.com/algorithmicsuperintelligence/optillm/issues/8"

    def chat(self, body: Json, number: int) -> Answer:
        if body.get("n", 1) > 1:
            message = "Only one completion choice is allowed"
            return answer(500, {"error": {"code": 500, "message": message, "type": "server_error"}})
        return good(body)


class SilentChoices(Habit):
    """Takes `n` and returns one choice."""

    source = "https://github.com/abetlen/llama-cpp-python/issues/1906"

    def chat(self, body: Json, number: int) -> Answer:
        return good({})


class AnthropicChoices(Habit):
    """`n` must be exactly 1."""

    source = "https://docs.anthropic.com/en/api/openai-sdk"

    def chat(self, body: Json, number: int) -> Answer:
        if body.get("n", 1) != 1:
            return answer(400, anthropic("n: must be 1"))
        return good(body)


class NotImplementedSeed(Habit):
    """Says 501 and nothing about the parameter."""

    source = "made up after a report without an address"
    outcome = Whole(("seed",))

    def chat(self, body: Json, number: int) -> Answer:
        return answer(501, {"detail": "Not implemented"}) if "seed" in body else good(body)


class WordlessForm(Habit):
    """Refuses a form without a word."""

    source = "https://github.com/ItzCrazyKns/Vane/issues/969"
    outcome = Whole(("json_schema",))

    def chat(self, body: Json, number: int) -> Answer:
        return answer(400, "Bad Request") if _form(body) == "json_schema" else good(body)


class WordlessTemperature(Habit):
    """Refuses the temperature without a word."""

    source = "https://github.com/appatalks/eva-agent/issues/83"
    outcome = Whole(("response_format", "seed", "system", "temperature"))  # the vote that found it went without
    formless = Whole(("seed", "system", "temperature"))

    def chat(self, body: Json, number: int) -> Answer:
        return answer(400, {"error": "Bad Request"}) if "temperature" in body else good(body)


class WordlessServerError(Habit):
    """Fails with 500 at a form, with nothing to tell it from an outage."""

    source = "made up: a form that makes the server fail"
    outcome = Whole(("response_format", "seed", "system", "temperature"))
    formless = Whole()

    def chat(self, body: Json, number: int) -> Answer:
        return answer(500, "Internal Server Error") if "response_format" in body else good(body)


class RouterParameters(Habit):
    """A router without a provider that takes the form."""

    source = "https://github.com/lastmile-ai/mcp-agent/issues/237"
    outcome = Whole(("response_format",))

    def chat(self, body: Json, number: int) -> Answer:
        if "response_format" in body:
            message = "No endpoints found that support the requested parameters: response_format."
            return answer(404, {"error": {"message": message, "code": 404}})
        return good(body)


class LiteLLMNested(Habit):
    """A gateway repeats the provider's error inside its own sentence, and the code is a text."""

    source = "https://github.com/BerriAI/litellm/issues/13825"
    outcome = Whole(("seed",))

    def chat(self, body: Json, number: int) -> Answer:
        if "seed" not in body:
            return good(body)
        message = (
            'litellm.BadRequestError: BedrockException - {"message":"The model returned the following errors: seed: Extra '  # noqa: E501 - as it was reported
            'inputs are not permitted"}. Received Model Group=judge-1\nAvailable Model Group Fallbacks=None'
        )
        return answer(400, {"error": {"message": message, "type": None, "param": None, "code": "400"}})


class RouterRaw(Habit):
    """The provider's error is JSON under error.metadata.raw, inside a reply of success."""

    source = "https://github.com/OpenRouterTeam/openrouter-examples/issues/14"
    outcome = Whole(("json_schema",))

    def chat(self, body: Json, number: int) -> Answer:
        if _form(body) != "json_schema":
            return good(body)
        raw = '{\n "error": {\n "code": 400,\n "message": "Unknown name \\"additionalProperties\\" at response_schema"}}'  # noqa: E501 - as it was reported
        metadata = {"raw": raw, "provider_name": "Google"}
        return answer(200, {"error": {"message": "Provider returned error", "code": 400, "metadata": metadata}})


class GemmaSystem(Habit):
    """The chat template of the model has no system role (vLLM)."""

    source = "https://github.com/vllm-project/vllm/pull/2964"
    outcome = Whole(("system",))

    def chat(self, body: Json, number: int) -> Answer:
        if body["messages"][0]["role"] == "system":
            message = "System role not supported"
            return answer(
                400, {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}
            )
        return good(body)


class GemmaSystemServerError(GemmaSystem):
    """The same as an error of the server (SGLang)."""

    source = "https://github.com/sgl-project/sglang/issues/892"

    def chat(self, body: Json, number: int) -> Answer:
        status, headers, content = super().chat(body, number)
        return (500 if status == 400 else status), headers, content


class WordlessSystem(Habit):
    """Fails at the system role without a word."""

    source = "https://github.com/sgl-project/sglang/issues/892"
    outcome = Whole(("response_format", "seed", "system", "temperature"))  # the vote that found it went without

    def chat(self, body: Json, number: int) -> Answer:
        return answer(500, "Internal Server Error") if body["messages"][0]["role"] != "user" else good(body)


class MistralRoles(Habit):
    """Templates without a system role complain about the order of roles."""

    source = "https://github.com/kubeai-project/kubeai/issues/499"
    outcome = Whole(("system",))

    def chat(self, body: Json, number: int) -> Answer:
        if body["messages"][0]["role"] != "user":
            return answer(400, {"detail": "Conversation roles must alternate user/assistant/user/assistant/..."})
        return good(body)


_NO_JSON = "Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details."


class GroqLuck(Habit):
    """A reply that was no JSON is an error of the request; the next one may be good."""

    source = "https://github.com/JusticeRage/Gepetto/issues/37"

    def chat(self, body: Json, number: int) -> Answer:
        if number in (0, 3) and _form(body):
            return answer(400, error(_NO_JSON, code="json_validate_failed", failed_generation='{"boat": '))
        return good(body)


class GroqNoLuck(Habit):
    """A model that never manages the form."""

    source = "https://github.com/build-with-groq/g1/pull/23"
    outcome = Whole(("response_format",))

    def chat(self, body: Json, number: int) -> Answer:
        if _form(body):
            return answer(400, error(_NO_JSON, code="json_validate_failed", failed_generation="Sure!"))
        return good(body)


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
        return answer(400, [google(400, message, "INVALID_ARGUMENT")])


class DropParameters(Habit):
    """A gateway that knows what a model takes, and says 500."""

    source = "https://github.com/BerriAI/litellm/issues/3923"
    outcome = Whole(("seed",))

    def chat(self, body: Json, number: int) -> Answer:
        if "seed" not in body:
            return good(body)
        message = "ollama does not support parameters: {'seed': 1}, for model=llama3:latest. To drop these, set `litellm.drop_params=True`"  # noqa: E501 - as it was reported
        return answer(500, {"error": {"message": message, "type": None, "param": None, "code": 500}})


class BareString(Habit):
    """The body of the error is a text of JSON."""

    source = "made up"
    outcome = Whole(("seed",))

    def chat(self, body: Json, number: int) -> Answer:
        return answer(400, '"The seed option is not available"') if "seed" in body else good(body)


class SeveralAtOnce(Habit):
    source = "made up"
    outcome = Whole(("seed",))

    def chat(self, body: Json, number: int) -> Answer:
        extra = sorted({"seed", "n"}.intersection(body))
        return answer(422, {"detail": f"Unsupported parameter(s): {', '.join(extra)}"}) if extra else good(body)


class RandomSeed(Habit):
    source = "made up"
    outcome = Whole(("seed",))

    def chat(self, body: Json, number: int) -> Answer:
        return answer(400, error("Invalid parameter: random_seed")) if "seed" in body else good(body)


class JapaneseSeed(Habit):
    source = "made up"
    outcome = Whole(("seed",))

    def chat(self, body: Json, number: int) -> Answer:
        return answer(400, error("パラメータ seed はサポートされていません")) if "seed" in body else good(body)


class DeveloperInstruction(Habit):
    """Gemma behind Google's interface."""

    source = "made up after a report without an address"
    outcome = Whole(("system",))

    def chat(self, body: Json, number: int) -> Answer:
        if body["messages"][0]["role"] == "user":
            return good(body)
        message = "Developer instruction is not enabled for models/gemma-3-27b-it"
        return answer(400, [google(400, message, "INVALID_ARGUMENT")])


class ValidRoles(Habit):
    source = "made up after a report without an address"
    outcome = Whole(("system",))

    def chat(self, body: Json, number: int) -> Answer:
        if body["messages"][0]["role"] == "user":
            return good(body)
        return answer(400, error("Please use a valid role: user, model."))


class UnknownVariant(Habit):
    """A server in Rust names what it knows."""

    source = "made up after a report without an address"
    outcome = Whole(("json_schema",))

    def chat(self, body: Json, number: int) -> Answer:
        if _form(body) != "json_schema":
            return good(body)
        message = "Failed to deserialize: response_format: unknown variant `json_schema`, expected `json_object`"
        return answer(422, {"error": message, "error_type": "input_error"})


class UnknownField(Habit):
    source = "made up after a report without an address"
    outcome = Whole(("seed",))

    def chat(self, body: Json, number: int) -> Answer:
        if "seed" not in body:
            return good(body)
        return answer(422, "Failed to deserialize: unknown field `seed`, expected one of `model`, `messages`")


class Refusing(Habit):
    """Refuses a part with one error, always the same."""

    part = "seed"
    refusal: Answer = answer(400, "")

    def chat(self, body: Json, number: int) -> Answer:
        sent = {
            "json_schema": _form(body) == "json_schema",
            "response_format": _form(body) is not None,
            "n": body.get("n", 1) > 1,
            "system": body["messages"][0]["role"] != "user",
        }
        return self.refusal if sent.get(self.part, self.part in body) else good(body)


class ChoicesInWords(Refusing):
    source = "made up"
    part = "n"
    refusal = answer(400, error("n greater than 1 is not supported"))


class ChoicesWithThinking(Refusing):
    source = "made up after the errors of DashScope"
    part = "n"
    refusal = answer(400, error("InternalError.Algo.InvalidParameter: The n parameter must be 1 when it thinks"))


class OneCompletion(Refusing):
    source = "made up"
    part = "n"
    refusal = answer(400, {"errors": [{"message": "only a single completion per request: set n to 1"}]})


class TemplateRoles(Refusing):
    source = "made up after Mistral's chat template in LM Studio"
    outcome = Whole(("system",))
    part = "system"
    refusal = answer(400, {"error": 'Error rendering prompt: "Only user and assistant roles are supported!"'})


class UnknownRole(Refusing):
    source = "made up"
    outcome = Whole(("system",))
    part = "system"
    refusal = answer(400, error("Unknown role: system"))


class FirstRole(Refusing):
    source = "made up after the errors of Qianfan"
    outcome = Whole(("system",))
    part = "system"
    refusal = answer(
        400, {"error": {"code": "invalid_messages", "message": "the role of the first message must be user"}}
    )


class RoleByItsPlace(Refusing):
    source = "made up after pydantic's problems"
    outcome = Whole(("system",))
    part = "system"
    refusal = answer(422, error("messages[0].role: Input should be 'user' or 'assistant'"))


class CamelCase(Refusing):
    """Names the limit of tokens as its code does."""

    source = "made up after the errors of Azure"
    outcome = Whole(("max_tokens",))
    part = "max_tokens"
    refusal = answer(400, error("this model is not supported MaxTokens, please use MaxCompletionTokens"))


class Constrained(Refusing):
    source = "made up after the errors of SGLang"
    outcome = Whole(("response_format",))
    part = "response_format"
    refusal = answer(400, {"object": "error", "message": "Constrained decoding is disabled", "code": 400})


class Extraneous(Refusing):
    source = "made up after the errors of Bedrock"
    outcome = Whole(("seed",))
    refusal = answer(400, {"message": "Malformed input request: #: extraneous key [seed] is not permitted"})


class SystemAfterSeed(Refusing):
    """Two refusals, in two forms."""

    source = "made up"
    outcome = Whole(("seed", "system"))
    refusal = answer(422, {"message": "property seed should not exist", "statusCode": 422})

    def chat(self, body: Json, number: int) -> Answer:
        if "seed" not in body and body["messages"][0]["role"] == "system":
            return answer(400, {"detail": "This model does not support system messages"})
        return super().chat(body, number)


class NoRouterForIt(Refusing):
    """404 about what a request needs, not about its address or model."""

    source = "made up after the errors of OpenRouter"
    outcome = Whole(("response_format",))
    part = "response_format"
    refusal = answer(
        404, {"error": {"message": "No endpoints found that support structured outputs", "code": 404}}
    )


class ModelWithoutChoices(Refusing):
    """A refusal of a part that could be read as one of the model."""

    source = "made up"
    part = "n"
    refusal = answer(400, error("Model judge-1 does not support 'n' > 1 for chat completions"))


HABITS: tuple[type[Habit], ...] = (
    DeepSeekForm,
    NoForm,
    GeminiSeed,
    MistralExtra,
    MistralProxy,
    OldOpenAI,
    OnlyCompletionTokens,
    LlamaCppChoices,
    SilentChoices,
    AnthropicChoices,
    NotImplementedSeed,
    WordlessForm,
    WordlessTemperature,
    WordlessServerError,
    RouterParameters,
    LiteLLMNested,
    RouterRaw,
    GemmaSystem,
    GemmaSystemServerError,
    WordlessSystem,
    MistralRoles,
    GroqLuck,
    GroqNoLuck,
    ErrorsInAList,
    ValueOfConst,
    Xml,
    Problem,
    RangeOfTemperature,
    NoSystemValue,
    SchemaTooLarge,
    DropParameters,
    BareString,
    SeveralAtOnce,
    RandomSeed,
    JapaneseSeed,
    DeveloperInstruction,
    ValidRoles,
    UnknownVariant,
    UnknownField,
    ChoicesInWords,
    ChoicesWithThinking,
    OneCompletion,
    TemplateRoles,
    UnknownRole,
    FirstRole,
    RoleByItsPlace,
    CamelCase,
    Constrained,
    Extraneous,
    SystemAfterSeed,
    NoRouterForIt,
    ModelWithoutChoices,
)
