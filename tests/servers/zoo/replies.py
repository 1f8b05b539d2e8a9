"""Endpoints whose replies hold more, or less, than a verdict."""

from __future__ import annotations

from grading import State
from tests.servers.zoo.habit import TEXT, Answer, Habit, Json, Lost, answer, choice, good

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


HABITS = (ThinkDraft, ThinkClosing, Parts, Fenced, ReasoningField, OnlyReasoning, CutOff, Declines)
