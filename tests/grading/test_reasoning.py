import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.protocol.reasoning import Split, content_text, split_reasoning

BEES = "Answer: The bees left at dawn.\nExplanation: bees"
DRAFT = "Let me see.\nAnswer: Wasps.\nExplanation: none yet"


@pytest.mark.parametrize(
    "reply",
    [
        *(
            f"<{tag}>{DRAFT}</{tag}>\n\n{BEES}"
            for tag in (
                *("think", "Think", "thinking", "thought", "thoughts", "reasoning", "reflection"),
                *("seed:think", "longcat_think", "mm:think"),
            )
        ),
        f"{DRAFT}</think>\n\n{BEES}",
        f"{DRAFT}</seed:think>{BEES}",
        f"{DRAFT}[/THINK]{BEES}",
        f"<think>{DRAFT}<think>again</think>more</think>{BEES}",
        f"<thinking>{DRAFT}<reflection>No.</reflection>Better.</thinking>\n{BEES}",
        f'<think effort="low">{DRAFT}</think>{BEES}',
        f"<think>I should not close </think> the tag too early, hm.\n</think>\n{BEES}",
        f"[THINK]{DRAFT}[/THINK]{BEES}</s>",
        f"◁think▷{DRAFT}◁/think▷{BEES}",
        f"<|START_THINKING|>{DRAFT}<|END_THINKING|><|START_RESPONSE|>{BEES}<|END_RESPONSE|>",
        f"<|begin_of_thought|>{DRAFT}<|end_of_thought|>\n<|begin_of_solution|>\n{BEES}\n<|end_of_solution|>",
        f"<|channel>thought\n{DRAFT}<channel|>{BEES}<turn|>",
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{BEES}<|return|>",
        f"analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>commentary<|message|>So.<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{BEES}",
        f"{DRAFT}<|end|><|start|>assistant<|channel|>final <|constrain|>x<|message|>no<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{BEES}",
        f"analysisThe user wants bees. {DRAFT}assistantfinal{BEES}",
        f"analysis{DRAFT}assistantcommentaryHm.assistantfinal{BEES}",
        f"Here is my thought process: {DRAFT}\n\nHere is my response:\n{BEES}",
        f"Thinking...\n{DRAFT}\n...done thinking.\n\n{BEES}",
        f"<|im_start|>assistant\n<think>\n{DRAFT}\n</think>\n\n{BEES}<|im_end|>\n",
    ],
)
def test_reasoning_is_parted_from_the_text(reply: str) -> None:
    split = split_reasoning(reply)
    assert (split.visible, split.open) == (BEES, False)
    assert "Let me see." in split.reasoning or "tag too early" in split.reasoning


@pytest.mark.parametrize(
    "token",
    [
        *(
            "</s>",
            "<|im_end|>",
            "<|eot_id|>",
            "<end_of_turn>",
            "<|return|>",
            "<|endoftext|>",
            "<｜end▁of▁sentence｜>",
        ),
        *(
            "<eos>",
            "<pad><pad>",
            "<|end|>\n",
            "<|END_OF_TURN_TOKEN|>",
            "</s></s> ",
            "<|im_end|>\n<|im_start|>user\nMore",
        ),
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnswer: Wasps.",
    ],
)
def test_special_tokens_at_the_end_go_and_further_turns_too(token: str) -> None:
    assert split_reasoning(BEES + token) == Split(BEES, "", False)


@pytest.mark.parametrize(
    "reply",
    [
        "<think>Answer: Wasps.",
        "\n<thinking>\nno end\nAnswer: Wasps.\nExplanation: no",
        "Sure, a moment.\n<think>First I look at the skills, and then I write.",
        "[THINK]Answer: Wasps.",
        "<|channel|>analysis<|message|>Answer: Wasps.",
        "analysisWe need three sentences. Answer: Wasps.",
        "Here is my thought process: bees.",
        "<|START_THINKING|>bees",
    ],
)
def test_reasoning_without_an_end_leaves_nothing(reply: str) -> None:
    split = split_reasoning(reply)
    assert (split.visible, split.open) == ("", True)
    assert split.reasoning


@pytest.mark.parametrize(
    "text",
    [
        "She typed <think> into the box and waited.",
        "The tags `<think>` and `</think>` were his only poems.",
        'He wrote "</think>" on the wall, then left.',
        "She closed it with </think>, as one does.",
        "analysis of the hive took all day.\nassistant finally came.",
        "analysis is hard; the assistantfinal was harder",
        "Analysis",
        "finally, the bees left.",
        "<thinking about bees> was the poem's title.",
        "The <s>cold</s> warm hive hums.",
        "  leading and trailing space stay \n",
        "",
    ],
)
def test_a_text_without_reasoning_stays(text: str) -> None:
    assert split_reasoning(text) == Split(text, "", False)


def test_an_answer_before_a_thought_that_never_ends_stays() -> None:
    split = split_reasoning(f"{BEES}\n<think>Was that right?")
    assert (split.visible, split.open) == (BEES, False)


@pytest.mark.parametrize(
    ("content", "split"),
    [
        (None, Split("", "", False)),
        (7, Split("", "", False)),
        ([], Split("", "", False)),
        ("<think>a</think>b", Split("b", "a", False)),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}, {"type": "text", "text": "b"}],
         Split("b", "a", False)),
        ([{"type": "thinking", "thinking": "a"}, {"type": "text", "text": "b"}], Split("b", "a", False)),
        ([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]},
          {"type": "output_text", "text": "b"}],
         Split("b", "a", False)),
        ([{"type": "reasoning", "text": "a"}], Split("", "a", True)),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}], Split("", "a", True)),
        (["b", {"type": "image_url"}, {"text": "c"}, 3], Split("bc", "", False)),
        ({"type": "text", "text": "b"}, Split("b", "", False)),
        ([{"type": "text", "text": None}], Split("", "", False)),
    ],
)  # fmt: skip
def test_content_of_every_form(content: object, split: Split) -> None:
    assert content_text(content) == split


def test_nested_parts_are_read_to_a_bounded_depth() -> None:
    part: object = "deep"
    for _ in range(5_000):
        part = {"type": "text", "text": [part]}
    assert content_text([part]).visible == ""


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "[/THINK]", "analysis", "assistantfinal", " ", "a", "</s>"]))
)
def test_any_reply_is_parted(parts: list[str]) -> None:
    split = split_reasoning("".join(parts))
    assert not (split.open and split.visible)


def test_hostile_replies_take_linear_time() -> None:
    number = 200_000
    for unit in (
        *(
            "<think>",
            "</think>",
            "<think a",
            "<think a=",
            "<",
            "</s>",
            "</s> ",
            "[INST]",
            " ",
            "\n",
            "<s> ",
            "<|im_end|>",
        ),
        *(
            "<|channel|>",
            "<|channel|>final",
            "<|channel|>final<|message|>",
            "analysis",
            "assistantfinal",
            "`<think>`",
        ),
        *(
            "Here is my thought process:",
            "Thinking...\n",
            "<|start|>",
            "[THINK]",
            "<think>a</think>",
            "a <think> b ",
        ),
    ):
        start = time.process_time()
        split_reasoning((unit * number)[:number])
        split_reasoning("x" + (unit * number)[:number])
        assert time.process_time() - start < 10, unit
