"""Endpoints whose list of models says something else than what they serve."""

from __future__ import annotations

from tests.servers.zoo.habit import MODEL, Answer, Habit, Json, answer, error


class Prefixed(Habit):
    source = "https://ai.google.dev/gemini-api/docs/openai"

    def models(self) -> Answer:
        return answer(200, {"data": [{"id": f"models/{MODEL}"}]})


class Tagged(Habit):
    source = "https://github.com/ollama/ollama/blob/main/docs/api/openai-compatibility.mdx"

    def models(self) -> Answer:
        return answer(200, {"data": [{"id": f"{MODEL}:latest"}]})


class Wildcard(Habit):
    source = "https://docs.litellm.ai/docs/wildcard_routing"

    def models(self) -> Answer:
        return answer(200, {"data": [{"id": "openai/*"}]})


class Deployments(Habit):
    """Azure lists what could be deployed."""

    source = "https://learn.microsoft.com/en-us/rest/api/azureopenai/models/list"

    def models(self) -> Answer:
        return answer(200, {"data": [{"id": "gpt-4o-2024-11-20", "status": "succeeded"}]})


class Paged(Habit):
    source = "https://docs.anthropic.com/en/api/models-list"

    def models(self) -> Answer:
        return answer(200, {"data": [{"id": "first"}], "has_more": True, "last_id": "first"})


class BareList(Habit):
    source = "https://docs.together.ai/reference/models-1"

    def models(self) -> Answer:
        return answer(200, [{"id": "other"}])


class ListUnauthorised(Habit):
    """The key may chat and not list."""

    source = "https://github.com/opencodeschool/opencode.school/issues/174"

    def models(self) -> Answer:
        return answer(
            403, error("You have insufficient permissions for this operation. Missing scopes: api.model.read.")
        )


class ListKeyless(ListUnauthorised):
    source = "made up: the same as 401"

    def models(self) -> Answer:
        return answer(401, {"detail": "Unauthorized"})


class NoList(Habit):
    source = "https://github.com/modular/max/issues/294"

    def models(self) -> Answer:
        return answer(404, "404 page not found")


class BrokenList(Habit):
    source = "made up: a list that fails while chats work"

    def models(self) -> Answer:
        return answer(500, "Internal Server Error")


class PageForList(Habit):
    source = "made up: a console's page where the list should be"

    def models(self) -> Answer:
        return answer(200, "<html><title>Console</title></html>", {"Content-Type": "text/html"})


class OnlyCompletionTokensInCheck(NoList):
    """Refuses the check's own limit: that is no reason to refuse the run."""

    source = "https://github.com/decolua/9router/issues/560"

    def chat(self, body: Json, number: int) -> Answer:
        if body.get("max_tokens") == 1:
            return answer(400, error("max_tokens must be at least 16", param="max_tokens"))
        return super().chat(body, number)


class NamesOnly(Habit):
    """A bare list of names."""

    source = "made up"

    def models(self) -> Answer:
        return answer(200, ["other", MODEL])


class OtherKeyOfTheList(Habit):
    source = "made up after Google's own list of models"

    def models(self) -> Answer:
        return answer(200, {"models": [{"name": f"models/{MODEL}"}], "nextPageToken": "abc"})


class ListAtItsLimit(Habit):
    source = "made up"

    def models(self) -> Answer:
        return answer(429, error("Too many requests"))


class ListMoved(Habit):
    source = "made up"

    def models(self) -> Answer:
        return answer(301, "", {"Location": "/console/models"})


class CutList(Habit):
    """The list breaks off, and chats work."""

    source = "made up"

    def models(self) -> Answer:
        return 200, {"Content-Length": "500", "Connection": "close"}, b'{"data": [{"id"'


class HugeList(Habit):
    source = "made up"

    def models(self) -> Answer:
        return answer(200, {"data": [{"id": str(number), "text": "x" * 5000} for number in range(1000)]})


class PackedList(Habit):
    """An encoding that nobody requested."""

    source = "made up"

    def models(self) -> Answer:
        return answer(200, b"\x0b\x02\x80{}\x03", {"Content-Encoding": "br"})


HABITS: tuple[type[Habit], ...] = (
    Prefixed,
    Tagged,
    Wildcard,
    Deployments,
    Paged,
    BareList,
    ListUnauthorised,
    ListKeyless,
    NoList,
    BrokenList,
    PageForList,
    OnlyCompletionTokensInCheck,
    NamesOnly,
    OtherKeyOfTheList,
    ListAtItsLimit,
    ListMoved,
    CutList,
    HugeList,
    PackedList,
)
