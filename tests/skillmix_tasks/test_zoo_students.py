"""A student with a habit of the zoo: its answers come, or the run ends with the endpoint's words."""

from __future__ import annotations

import pytest

from grading import State, UserError
from skillmix_tasks.scoring.reply import AnswerState
from tests.grading.test_zoo import HABITS, short_waits
from tests.servers.zoo import lists
from tests.servers.zoo.habit import MODEL, TEXT, Answer, Ended, Habit, Json, Lost, Whole, answer, good
from tests.servers.zoo.serving import serving
from tests.skillmix_tasks.asked_student import asked_student

pytestmark = pytest.mark.slow

__all__ = ["short_waits"]  # a fixture of each test here

MET = [habit for habit in HABITS if habit not in lists.HABITS]  # nobody asks a student's endpoint for its list
STATES = {
    State.REFUSED: {AnswerState.FILTERED, AnswerState.REFUSED},
    State.TRUNCATED: {AnswerState.ANSWERED},  # what is there counts
    State.REASONING_ONLY: {AnswerState.CUT_OFF, AnswerState.REASONING_ONLY},
}
FORMS = frozenset({"json_schema", "response_format", "system", "n"})


@pytest.mark.parametrize("kind", MET, ids=lambda kind: kind.__name__)
def test_a_student_with_a_habit(kind: type[Habit]):
    outcome = kind.formless or kind.outcome
    with serving(kind()) as visited:
        if isinstance(outcome, Ended):
            with pytest.raises(UserError) as error:
                asked_student(visited.base_url, 5)
            assert outcome.words in str(error.value)
            assert MODEL not in outcome.words or MODEL in str(error.value)
            assert len(visited.chats) <= kind.wasted
            return
        student, replies = asked_student(visited.base_url, 5)
    if isinstance(outcome, Whole):
        assert [reply.state for reply in replies] == [AnswerState.ANSWERED] * 5
        assert all(TEXT in reply and "<think>" not in reply and "</think>" not in reply for reply in replies)
        allowed = set(outcome.without) - FORMS
        assert student.refused <= allowed
        assert student.refused or not allowed or "system" in outcome.without  # it sends no system turn
    elif isinstance(outcome, Lost):
        assert {reply.state for reply in replies} <= STATES[outcome.state]
        cut = outcome.state is State.TRUNCATED
        assert all(reply.facts.cut == (cut or reply.state is AnswerState.CUT_OFF) for reply in replies)


class FailsAtTopK(Habit):
    """Fails with 500 at a parameter, with nothing to tell it from an outage."""

    def chat(self, body: Json, number: int) -> Answer:
        return answer(500, {"error": "Internal Server Error"}) if "top_k" in body else good(body)


def test_a_parameter_at_which_a_server_fails_is_left_out_alone():
    with serving(FailsAtTopK()) as visited:
        student, replies = asked_student(visited.base_url, 3, top_k=-1, repetition_penalty=1.0, top_p=1.0)
    assert [reply.state for reply in replies] == [AnswerState.ANSWERED] * 3
    assert student.refused == {"top_k"}
    for body in visited.chats[-3:]:
        assert {"seed", "temperature", "repetition_penalty", "top_p"} < body.keys()
