"""The public face: items of a task, and answers scored as a run scores them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grading import Criterion, Grader, GradingRequest, Panel, State, UserError, open_judge, resolve_judge
from grading.verdict import Mark, Usage, Vote
from skillmix_tasks import item_metrics, score_answers, task_items
from skillmix_tasks.harness.task_files import bundled_tasks
from skillmix_tasks.items.draw import sample_items
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.scoring.points import judge_replies
from tests.servers.chat import ChatServer

CRITERIA = {"rain": "It is about rain.", "metaphor": "It has a metaphor."}
TEXTS = [f"Rain number {number} fell like a tired drum." for number in range(6)]


@pytest.fixture
def judge_of(
    chat_server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Panel]]:
    chat_server.set(models=["my-judge"])
    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path / "home"))
    for name in ("MODEL", "BASE_URL", "API_KEY"):
        monkeypatch.delenv(f"SKILLMIX_JUDGE_{name}", raising=False)
    opened: list[Panel] = []

    def make(judge="my-judge", **options) -> Panel:
        opened.append(open_judge(judge, **({"base_url": chat_server.base_url} | options)))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.mark.slow
def test_texts_get_the_verdicts_of_requests(judge_of, chat_server: ChatServer, capsys: pytest.CaptureFixture[str]):
    judge = judge_of()
    verdicts = judge.grade_texts(TEXTS, CRITERIA, context="Write about rain.")
    wanted = tuple(Criterion(*one) for one in CRITERIA.items())
    requests = [GradingRequest("Write about rain.", wanted, text) for text in TEXTS]
    assert [one.earned for one in judge.grade(requests, progress=False)] == [one.earned for one in verdicts]
    assert chat_server.counts().received["judge"] == 3 * len(TEXTS)
    assert {one.share for one in verdicts} <= {0.0, 0.5, 1.0}
    assert len({one.share for one in verdicts}) > 1
    for verdict, text in zip(verdicts, TEXTS, strict=True):
        assert all(quote in text for quote in verdict.evidence("rain"))
        assert bool(verdict.evidence("rain")) or not verdict.earned["rain"]
    # A context for each text makes other questions of them.
    judge.grade_texts(TEXTS[:2], CRITERIA, context=["Write about rain.", "Write about snow."])
    assert chat_server.counts().received["judge"] == 3 * len(TEXTS) + 3
    later = asyncio.run(judge.agrade_texts(TEXTS, CRITERIA, context="Write about rain."))
    assert [one.earned for one in later] == [one.earned for one in verdicts]
    assert judge.grade_texts([], CRITERIA) == []
    assert capsys.readouterr().err == ""  # no bar


@pytest.mark.slow
def test_a_missing_verdict_is_none(judge_of, chat_server: ChatServer):
    chat_server.set(models=["my-judge"], judge_faults={"refusal": 1.0})
    [verdict] = judge_of(votes=1).grade_texts(TEXTS[:1], CRITERIA)
    assert verdict.earned == {"rain": None, "metaphor": None}
    assert verdict.share is None
    assert {decision.state for decision in verdict.decisions.values()} == {State.REFUSED}
    assert verdict.evidence("rain") == []
    item = task_items("skillmix_k2", number=1)
    [score] = score_answers(item, ["Answer: It rained on the roof."], judge_of(votes=1))
    assert (score.full_marks, score.all_skills, score.skill_fraction) == (None, None, None)
    assert score.points["length"] is True
    assert score.states["topic"] == "refused"


def test_quotes_are_of_the_votes_that_granted():
    from grading.verdict import Ballot, decide

    def vote(number: int, earned: bool, quote: str) -> Vote:
        return Vote(number, State.GRADED, {"rain": Mark(State.GRADED, earned, quote)}, usage=Usage(1, 1))

    votes = [vote(0, True, "it rained all night"), vote(1, False, "dry"), vote(2, True, "it rained all night")]
    verdict = decide([Ballot(votes, 3)], ["rain"])
    assert verdict.evidence("rain") == ["it rained all night"]
    assert (verdict.earned, verdict.share) == ({"rain": True}, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("judge", "options", "said"),
    [
        (
            "judge-none",
            {},
            r"does not serve the model judge-none .*: set `judge` \(or SKILLMIX_JUDGE_MODEL\) to one",
        ),
        ("my-judge", {"base_url": "http://127.0.0.1:9/v1"}, "cannot be reached .*, or set `base_url`"),
        ("my-judge", {"base_url": "127.0.0.1/v1"}, r"address \(`base_url`\) .* not an http or https address"),
        ("my-judge", {"base_url": None}, r'add base_url="URL" \(or .*this process with judge="hf:DIRECTORY"'),
        ("my-judge", {"votes": 2}, "odd"),
        ("my-judge", {"max_usd": 1.0}, "needs the price of the judge my-judge"),
        (["my-judge", "my-judge"], {}, "names a judge twice"),
        ({"model": "my-judge", "temprature": 1}, {}, "temprature"),
        ([], {}, "The list of judges is empty"),
        ("my-judge", {"concurrency": 0}, "take 1 to"),
        ("my-judge", {"concurrency": "2"}, "take 1 to"),
        ("my-judge", {"ungrounded": "zero"}, "no_verdict or not_earned"),
        (3, {}, "of the type int"),
        (["my-judge", 3], {}, "of the type int"),
    ],
)
def test_a_wrong_judge_is_our_error_before_anything_is_asked(judge_of, chat_server, judge, options, said):
    with pytest.raises(UserError, match=said) as raised:
        judge_of(judge, **options)
    assert "--" not in str(raised.value)
    assert [entry for entry in chat_server.log("judge") if entry.body.get("max_tokens", 1) > 1] == []


@pytest.mark.slow
def test_what_is_no_list_is_one_sentence(judge_of, chat_server: ChatServer, tmp_path: Path):
    judge = judge_of()
    request = GradingRequest("", (Criterion("rain", "It is about rain."),), TEXTS[0])
    items = task_items("skillmix_k2", number=2)
    grader = Grader(resolve_judge("my-judge", base_url=chat_server.base_url), tmp_path / "own.sqlite")
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: judge.grade_texts(TEXTS[0], CRITERIA), "give a list of texts"),
        (lambda: judge.grade_texts(TEXTS, {}), "There are no criteria"),
        (
            lambda: judge.grade_texts(TEXTS, ["rain"]),
            "The criteria are of the type list: give a dict .* such as {",
        ),
        (lambda: judge.grade_texts(TEXTS, "rain"), "The criteria are of the type str: give a dict"),
        (lambda: judge.grade_texts(None, CRITERIA), "are of the type NoneType: give a list of texts"),
        (
            lambda: judge.grade_texts(TEXTS, CRITERIA, context=None),
            "The context is of the type NoneType: give one",
        ),
        (lambda: judge.grade_texts([{"content": "x"}], CRITERIA), "is a dict, not a str"),
        (lambda: judge.grade_texts(TEXTS, CRITERIA, context=["one"]), "6 texts and 1 contexts"),
        (lambda: judge.grade_texts(TEXTS, {"rain": 3}), "The criterion 'rain': 3 is not a name with a sentence"),
        (lambda: judge.grade(request), "type grade"),
        (lambda: judge.grade(["It rained."]), "not of str"),
        (lambda: grader.grade(request), "type grade"),  # type: ignore[arg-type]
        (lambda: GradingRequest("", (), "x"), "at least one criterion"),
        (lambda: GradingRequest("", Criterion("a", "b"), "x"), "a tuple of Criterion"),  # type: ignore[arg-type]
        (lambda: GradingRequest("", ("rain",), "x"), "a tuple of Criterion"),  # type: ignore[arg-type]
        (lambda: score_answers(items, ["one"], judge), "2 items and 1 answer: give"),
        (lambda: score_answers(items, "one", judge), "a list of answers"),
        (lambda: score_answers(items, None, judge), "a list of answers"),  # type: ignore[arg-type]
        (lambda: score_answers(items, ["one", "two"], "my-judge"), r"give open_judge\('my-judge'\)"),  # type: ignore[arg-type]
        (lambda: task_items("skillmix_k2", number=0), "number = 0 is not a number of items"),
        (lambda: judge.grade(None), "a list of requests"),
        (lambda: score_answers(items[0], ["one"], judge), "a list of items"),  # type: ignore[arg-type]
        (lambda: score_answers(items, ["one", 2], judge), "An answer is a str"),  # type: ignore[list-item]
        (lambda: score_answers(items[:1], ["one"], judge, turns=3), "1 or 2 turns"),
    ]
    for call, said in wrong:
        with pytest.raises(UserError, match=said):
            call()
    grader.close()
    assert chat_server.counts().received["judge"] == 0


def test_a_task_has_the_items_of_its_runs():
    for task in ("skillmix_heldout_k3", "skillmix_planning_k2"):
        spec = bundled_tasks()[task]
        drawn = sample_items(load_pack(spec.pack), task=task, k=spec.k, split=spec.split, seed=0, number=5)
        found = task_items(task, number=5)
        assert [one.item for one in found] == drawn
        first, second = found[0].prompts()
        [alone] = found[0].prompts(1)
        assert drawn[0].topic.name in first
        assert "two sentences" in (second if spec.k == 3 else "two sentences")
        assert alone != first
    assert task_items("skillmix_k2", number=3, seed=1) != task_items("skillmix_k2", number=3)
    with pytest.raises(UserError, match="There is no task 'skillmix_k99'"):
        task_items("skillmix_k99")
    with pytest.raises(UserError, match="is a group: name one of its tasks, skillmix_k2"):
        task_items("skillmix")


@pytest.mark.slow
def test_an_answer_is_scored_as_a_run_scores_it(judge_of, chat_server: ChatServer):
    chat_server.set(models=["my-judge"], earn=0.7)
    judge = judge_of()
    items = [*task_items("skillmix_k2", number=3), *task_items("skillmix_planning_k3", number=2)]
    name = items[1].item.skills[0].name
    answers = [
        "Answer: The kettle sang and the window wept.\nExplanation: it sang.",
        f"Answer: This is a {name}. And one more sentence.",
        "",
        "Answer: First we pack, then we lock, then we leave.",
        items[4].prompts()[0],
    ]
    scores = score_answers(items, answers, judge)
    for place, one in enumerate(items):
        [record] = judge_replies(one.pack, [(one.item, one.prompts(), [answers[place]])], judge, "")
        for vote in (*record["votes"], *scores[place].record["votes"]):
            vote.pop("stored")
        assert scores[place].record == record
        found = item_metrics([record["points"]])
        assert scores[place].full_marks == found["full_marks"]
        assert scores[place].skill_fraction == found["skill_fraction"]
    assert scores[0].answer == "The kettle sang and the window wept."
    assert scores[1].lost["s1"].startswith("names the skill: ")
    assert scores[1].lost["length"] == "2 sentences"
    assert set(scores[2].points.values()) == {False}
    assert set(scores[2].lost.values()) == {"empty"}
    assert set(scores[4].lost.values()) == {"echo of the prompt"}
