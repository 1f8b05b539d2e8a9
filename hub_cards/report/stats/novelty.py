"""The "stochastic parrot" bound: the score that a student could have by repeating its training corpus.

A corpus of L sentences, in which a skill shows in a share p_s and a topic in a share p_t of them, holds at most
p_s^k * p_t * L of the combinations of k skills with a topic, as a share of all. Of a score above that bound a
share of at least 1 - bound / score is new. Source: Yu et al. 2023, arXiv 2310.17567, section 6; docs/report.md
has the constants with their sources, and the assumptions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from grading import UserError

REDPAJAMA_TOKENS = 1.2e12
REDPAJAMA_SENTENCES = 5e10

ASSUMPTIONS = (
    "skills and topics occur in a corpus independently of one another",
    "p_s and p_t are means over the benchmark's skills and topics, counted in sentences of RedPajama",
    "a student repeats every combination that its corpus held, and fails no other for want of a source",
)


@dataclass(frozen=True)
class Corpus:
    """The constants of the bound; those of the first paper are the default, and none of them is known exactly.

    `skill`: the share of sentences that show a skill (p_s, a mean). `topic`: that of sentences about a topic
    (p_t). `tokens`: the corpus in tokens. `sentence`: tokens in a sentence, so that L = tokens / sentence.
    """

    tokens: float = REDPAJAMA_TOKENS
    skill: float = 0.0144
    topic: float = 0.0022
    sentence: float = REDPAJAMA_TOKENS / REDPAJAMA_SENTENCES

    def check(self) -> None:
        """Raise UserError for an impossible constant."""
        for name in ("skill", "topic"):
            if not 0 < getattr(self, name) <= 1:
                raise UserError(
                    f"--{name}-frequency must be a share above 0 and at most 1, not {getattr(self, name):g}."
                )
        if not self.tokens > 0 or not self.sentence >= 1:
            raise UserError("--corpus-tokens must be above 0, and --tokens-per-sentence at least 1.")

    def bound(self, k: int) -> float:
        """The bound for k skills, from 0 to 1."""
        return min(1.0, self.skill**k * self.topic * self.tokens / self.sentence)


def corpus_of(
    tokens: float | None = None,
    skill: float | None = None,
    topic: float | None = None,
    sentence: float | None = None,
) -> Corpus:
    """The first paper's corpus with the constants that are given; UserError for an impossible one."""
    given = {"tokens": tokens, "skill": skill, "topic": topic, "sentence": sentence}
    corpus = Corpus(**{name: value for name, value in given.items() if value is not None})
    corpus.check()
    return corpus


def novel_share(score: float, bound: float) -> float:
    """The least share of full marks that no combination in the corpus explains; 0 if all may be explained."""
    return max(0.0, 1 - bound / score) if score > 0 else 0.0


def sensitivity(corpus: Corpus, k: int) -> dict[str, tuple[float, float]]:
    """For each constant by its name, the bound with that constant halved and doubled."""
    return {
        field.name: (
            replace(corpus, **{field.name: getattr(corpus, field.name) / 2}).bound(k),
            replace(corpus, **{field.name: getattr(corpus, field.name) * 2}).bound(k),
        )
        for field in fields(corpus)
    }
