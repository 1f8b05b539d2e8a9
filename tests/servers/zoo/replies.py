"""Endpoints whose replies hold more, or less, than a verdict."""

from __future__ import annotations

import json

from grading import State
from tests.servers.zoo.habit import TEXT, USAGE, Answer, Habit, Json, Lost, answer, choice, good

_DRAFT = '{"boat": {"quote": "The old boat dreams", "earned": false}, "storm": {"quote": "", "earned": false}}'


class ThinkDraft(Habit):
    """Reasoning with a draft of another verdict."""

    source = "https://github.com/langchain-ai/langchain/issues/35530"

    def chat(self, body: Json, number: int) -> Answer:
        return good(body, f"<think>Perhaps {_DRAFT}. No.</think>\n{TEXT}")


class ThinkClosing(Habit):
    """The template wrote the opening tag into the prompt."""

    source = "https://github.com/confident-ai/deepeval/issues/2991"

    def chat(self, body: Json, number: int) -> Answer:
        return good(body, f"First {_DRAFT}. On a second look:\n</think>\n\n{TEXT}")


class Parts(Habit):
    """Mistral's reasoning models send parts."""

    source = "https://github.com/NousResearch/hermes-agent/issues/4748"

    def chat(self, body: Json, number: int) -> Answer:
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": f"Maybe {_DRAFT}"}]}
        return good(body, [thinking, {"type": "text", "text": TEXT}])


class Fenced(Habit):
    """JSON in a fence of Markdown."""

    source = "https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/2403"

    def chat(self, body: Json, number: int) -> Answer:
        return good(body, f"Here is the verdict:\n```json\n{TEXT}\n```")


class ReasoningField(Habit):
    source = "https://api-docs.deepseek.com/guides/reasoning_model"

    def chat(self, body: Json, number: int) -> Answer:
        return good(body, TEXT, reasoning_content=f"Maybe {_DRAFT}")


class OnlyReasoning(Habit):
    """Reasoning uses the limit up before the reply."""

    source = "https://github.com/elizaOS/eliza/issues/10670"
    outcome = Lost(State.REASONING_ONLY)
    wasted = 99

    def chat(self, body: Json, number: int) -> Answer:
        cut = choice("", reasoning="Let me see") | {"finish_reason": "length"}
        return answer(200, {"choices": [cut] * body.get("n", 1)})


class CutOff(Habit):
    source = "https://developers.openai.com/api/docs/api-reference/chat/object"
    outcome = Lost(State.TRUNCATED)
    wasted = 99

    def chat(self, body: Json, number: int) -> Answer:
        return answer(200, {"choices": [choice(TEXT[:40]) | {"finish_reason": "length"}] * body.get("n", 1)})


class Declines(Habit):
    source = "https://developers.openai.com/api/docs/guides/structured-outputs"
    outcome = Lost(State.REFUSED)
    wasted = 99

    def chat(self, body: Json, number: int) -> Answer:
        return good(body, None, refusal="I'm sorry, I cannot assist with that.")


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


class FinishWindow(Habit):
    """The context's window is full."""

    source = "https://github.com/mozilla-ai/any-llm/issues/1200"
    outcome = Lost(State.TRUNCATED)
    wasted = 99

    def chat(self, body: Json, number: int) -> Answer:
        one = choice(TEXT[:40]) | {"finish_reason": "model_context_window_exceeded"}
        return answer(200, {"choices": [one] * body.get("n", 1), "usage": USAGE})


class TextParts(Habit):
    source = "made up"

    def chat(self, body: Json, number: int) -> Answer:
        half = len(TEXT) // 2
        parts = [{"type": "text", "text": TEXT[:half]}, {"type": "text", "text": TEXT[half:]}]
        return good(body, parts)


class NegativeUsage(Habit):
    source = "made up"

    def chat(self, body: Json, number: int) -> Answer:
        usage = {"prompt_tokens": -1, "completion_tokens": -1, "total_tokens": -2}
        return answer(200, {"choices": [choice(TEXT)] * body.get("n", 1), "usage": usage})


class OneChoice(Habit):
    """Replies always with the same choice; one that is `formed`, only where a form was asked for."""

    wasted = 99
    one: Json = choice(TEXT)
    formed = False

    def chat(self, body: Json, number: int) -> Answer:
        if self.formed and "response_format" not in body:
            return good(body)
        return answer(200, {"choices": [self.one] * body.get("n", 1), "usage": USAGE})


class VerdictInReasoning(OneChoice):
    """A server takes the complete reply for reasoning, as vLLM's parser does without a closing tag."""

    source = "made up"
    formless = Lost(State.REASONING_ONLY)
    one = choice(None, reasoning_content=f"Let me look.\n{TEXT}")


class DraftInReasoning(OneChoice):
    source = "made up"
    outcome = Lost(State.REASONING_ONLY)
    one = choice(None, reasoning_content=f"Perhaps {_DRAFT}. No: {TEXT}")


class CutInReasoning(OneChoice):
    """The reasoning might have gone on."""

    source = "made up"
    outcome = Lost(State.REASONING_ONLY)
    one = choice(None, reasoning=TEXT) | {"finish_reason": "length"}


class ContentObject(OneChoice):
    source = "made up"
    one = choice({"type": "text", "text": TEXT})


class ContentParsed(OneChoice):
    source = "made up: a gateway that parses the requested JSON"
    formed = True
    one = choice(json.loads(TEXT))


class TwiceEncoded(OneChoice):
    source = "made up"
    formed = True
    one = choice(json.dumps(TEXT))


class ThoughtParts(OneChoice):
    source = "made up after the parts of Gemini"
    one = choice([{"text": f"Maybe {_DRAFT}", "thought": True}, {"text": TEXT}])


class CallWithObject(OneChoice):
    source = "made up after the calls of Ollama"
    formed = True
    one = choice("", tool_calls=[{"function": {"name": "verdict", "arguments": json.loads(TEXT)}}])


class FunctionCall(OneChoice):
    source = "made up: the form before tool_calls"
    formed = True
    one = choice(None, function_call={"name": "verdict", "arguments": TEXT}) | {"finish_reason": "function_call"}


class FinishModelLength(OneChoice):
    source = "made up after the finish reasons of Mistral"
    outcome = Lost(State.TRUNCATED)
    one = choice(TEXT[:40]) | {"finish_reason": "model_length"}


class FinishGuardrail(OneChoice):
    source = "made up after the finish reasons of Bedrock"
    outcome = Lost(State.REFUSED)
    one = choice("Sorry, the model cannot answer this question.") | {"finish_reason": "guardrail_intervened"}


class ReasoningDetails(OneChoice):
    source = "made up after the fields of OpenRouter"
    outcome = Lost(State.REASONING_ONLY)
    one = choice(None, reasoning_details=[{"type": "reasoning.text", "text": "Let me see."}])


HABITS: tuple[type[Habit], ...] = (
    ThinkDraft,
    ThinkClosing,
    Parts,
    Fenced,
    ReasoningField,
    OnlyReasoning,
    CutOff,
    Declines,
    NoUsage,
    UsageInWords,
    TooManyChoices,
    Reversed,
    FormAsTool,
    NoFinish,
    EndOfSequence,
    FinishFilter,
    FinishSensitive,
    FinishRecitation,
    FinishWindow,
    TextParts,
    NegativeUsage,
    VerdictInReasoning,
    DraftInReasoning,
    CutInReasoning,
    ContentObject,
    ContentParsed,
    TwiceEncoded,
    ThoughtParts,
    CallWithObject,
    FunctionCall,
    FinishModelLength,
    FinishGuardrail,
    ReasoningDetails,
)
