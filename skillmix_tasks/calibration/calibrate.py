"""A judge, or a panel and each of its judges, measured on the reference's answers."""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from statistics import fmean

from grading import JudgeSpec, Panel, Verdict
from grading.panel import panel_name, panel_record
from skillmix_tasks.calibration.agreement import compare, mean, repeated
from skillmix_tasks.calibration.correction import ErrorRates
from skillmix_tasks.calibration.record import CORRECTABLE, KINDS, Calibration, MetricShift, Shift, conclude
from skillmix_tasks.calibration.reference_answers import RecordedAnswer
from skillmix_tasks.calibration.series import ROUNDS
from skillmix_tasks.calibration.tree import Series
from skillmix_tasks.calibration.yardstick import Yardstick
from skillmix_tasks.scoring.metrics import METRICS, best_of
from skillmix_tasks.scoring.rubric import LENGTH, SENSE, TOPIC

_Decided = dict[str, bool | None]


def calibrate(
    yardstick: Yardstick, judges: Sequence[JudgeSpec], panel_of: Callable[[Sequence[JudgeSpec]], Panel]
) -> Calibration:
    """Let the judges mark the yardstick's answers, and compare; `panel_of` makes the panel.

    Several judges are measured one by one, and then together, which needs no further vote. Raises UserError,
    before anything is paid for, if a judge cannot answer.
    """
    with closing(panel_of(judges)) as panel:
        panel.check()
        members = tuple(calibrate(yardstick, [judge], panel_of) for judge in judges) if len(judges) > 1 else ()
        verdicts = panel.grade([answer.request for answer in yardstick.answers], progress="Judging the reference")
    decided: list[_Decided] = [
        {criterion: decision.earned for criterion, decision in verdict.decisions.items()} for verdict in verdicts
    ]
    undecided = Counter(
        verdict.decisions[criterion].state.value
        for verdict, truth in zip(verdicts, yardstick.truth, strict=True)
        for criterion in truth
        if verdict.decisions[criterion].earned is None
    )
    by_kind = {
        kind: compare([_pairs(kind, truth, said) for truth, said in zip(yardstick.truth, decided, strict=True)])
        for kind in KINDS
    }
    name = panel_name(judges)
    subject = name if len(judges) == 1 else f"The panel {name}"
    verdict, sentence = conclude(subject, yardstick.name, by_kind["all"], dict(undecided))
    scores = _item_scores(yardstick, decided)
    # A best of three is as wrong as a best of three; of fewer it is not.
    tried = {answer.series: answer.generations for answer in yardstick.answers}
    best_of_three = {series: of for series, of in scores.items() if tried[series] == ROUNDS}
    return Calibration(
        judge=panel_record(judges),
        name=name,
        yardstick=yardstick.name,
        data=yardstick.hash,
        date=datetime.datetime.now(datetime.UTC).date(),
        answers=len(yardstick.answers),
        undecided=dict(undecided),
        split=yardstick.split,
        by_kind=by_kind,
        # The judges of a panel differ from each other, not from themselves.
        repeat=repeated([] if len(judges) > 1 else [_votes(one) for one in verdicts]),
        shifts=tuple(_shift(series, of) for series, of in scores.items()),
        errors={metric: _errors(metric, best_of_three) for metric in CORRECTABLE},
        people=yardstick.people,
        verdict=verdict,
        sentence=sentence,
        members=members,
    )


def _pairs(kind: str, truth: dict[str, bool], said: _Decided) -> list[tuple[bool, bool]]:
    """The decisions of yardstick and judge on an answer's criteria of one kind, where both have decided."""
    pairs = []
    for criterion, right in truth.items():
        earned = said[criterion]
        if earned is not None and kind in ("all", criterion if criterion in (TOPIC, SENSE) else "skills"):
            pairs.append((right, earned))
    return pairs


def _votes(verdict: Verdict) -> list[list[bool]]:
    """The decision of each vote, by criterion."""
    return [
        [mark.earned for vote in verdict.votes if (mark := vote.marks.get(criterion)) and mark.earned is not None]
        for criterion in verdict.decisions
    ]


_Scores = dict[str, float]


def _item_scores(yardstick: Yardstick, decided: Sequence[_Decided]) -> dict[Series, list[tuple[_Scores, _Scores]]]:
    """By series the metrics of each item, by yardstick and judge, where both have decided every point."""
    places: dict[tuple[Series, int], list[int]] = defaultdict(list)
    for place, answer in enumerate(yardstick.answers):
        places[answer.item].append(place)
    scores: dict[Series, list[tuple[_Scores, _Scores]]] = defaultdict(list)
    for (series, _), of in places.items():
        right, judged = (
            [points for place in of if (points := _points(yardstick.answers[place], said[place]))]
            for said in (yardstick.truth, decided)
        )
        if len(right) == len(judged) == yardstick.answers[of[0]].generations:
            scores[series].append((best_of(right), best_of(judged)))
    return dict(scores)


def _points(answer: RecordedAnswer, said: _Decided | dict[str, bool]) -> dict[str, bool] | None:
    """All points of an answer, its length by the reference's count for both sides; None if one is not decided."""
    points = {criterion.id: said.get(criterion.id) for criterion in answer.request.criteria}
    decided = {point: earned for point, earned in points.items() if earned is not None}
    return decided | {LENGTH: answer.length} if len(decided) == len(points) else None


def _shift(series: Series, items: Sequence[tuple[_Scores, _Scores]]) -> Shift:
    return Shift(
        student=series.student,
        k=series.k,
        seed=series.seed,
        items=len(items),
        metrics={
            metric: MetricShift(
                yardstick=fmean(right[metric] for right, _ in items),
                judge=fmean(judged[metric] for _, judged in items),
                shift=mean([judged[metric] - right[metric] for right, judged in items]),
            )
            for metric in METRICS
        },
    )


def _errors(metric: str, scores: dict[Series, list[tuple[_Scores, _Scores]]]) -> ErrorRates:
    pairs = Counter((right[metric] == 1, judged[metric] == 1) for of in scores.values() for right, judged in of)
    return ErrorRates(
        both=pairs[True, True],
        judge_only=pairs[False, True],
        reference_only=pairs[True, False],
        neither=pairs[False, False],
    )
