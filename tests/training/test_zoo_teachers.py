"""A teacher with a habit of the zoo: its texts come, or fail under a name with the endpoint's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from grading import State, UserError
from grading.failure import Cause
from tests.grading.test_zoo import HABITS, short_waits
from tests.servers.zoo.habit import MODEL, TEXT, Ended, Habit, Lost, Whole
from tests.servers.zoo.serving import serving
from training.texts.teacher import Teacher, resolve_teacher

pytestmark = pytest.mark.slow

__all__ = ["short_waits"]  # a fixture of each test here

CONVERSATIONS = [
    ({"role": "system", "content": "You write."}, {"role": "user", "content": f"Write text {number}."})
    for number in range(5)
]
FORMS = frozenset({"json_schema", "response_format"})  # a teacher asks for none


@pytest.mark.parametrize("kind", HABITS, ids=lambda kind: kind.__name__)
def test_a_teacher_with_a_habit(kind: type[Habit], tmp_path: Path, caplog: pytest.LogCaptureFixture):
    outcome = kind.formless or kind.outcome
    with serving(kind()) as visited:
        teacher = Teacher(resolve_teacher(MODEL, base_url=visited.base_url), tmp_path / "store", concurrency=4)
        try:
            try:
                teacher.check()
            except UserError as refused:
                said = str(refused)
                assert isinstance(outcome, Ended)
                assert outcome.words in said
            replies = teacher.write(CONVERSATIONS, progress=False)
            record = teacher.record()
        finally:
            teacher.close()
    if isinstance(outcome, Whole):
        assert [reply.state for reply in replies] == [State.GRADED] * 5, record["failures"]
        assert all(TEXT in reply.text for reply in replies)
        assert set(record["refused_parameters"]) == set(outcome.without) - FORMS
        assert not record["failures"]
    elif isinstance(outcome, Ended):
        [failure] = record["failures"]
        assert (Cause(failure["cause"]), failure["count"]) == (outcome.cause, 5)
        assert outcome.words in failure["words"]
        assert outcome.words in caplog.text
        assert len(visited.chats) <= kind.wasted
    elif isinstance(outcome, Lost):
        assert {reply.state for reply in replies} == {outcome.state}
