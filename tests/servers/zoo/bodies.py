"""Endpoints whose replies of success hold no reply, always or now and then."""

from __future__ import annotations

from grading.failure import Cause
from tests.servers.zoo.habit import TEXT, USAGE, Answer, Ended, Habit, Json, answer, choice, good, google


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


HABITS = (
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
)
