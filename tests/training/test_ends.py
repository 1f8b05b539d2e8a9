"""A trained model stops by itself at the token that its training taught, whatever the tokenizer's own end is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from grading import UserError
from tests.tiny_model import byte_tokenizer, write_tiny_model
from tests.training.making import items, row_of
from tests.training.test_marking import CHATML, GEMMA, LLAMA_3, MISTRAL_3
from tests.training.tuning import TrainServer, train_arguments, write_recipe
from training.data.dataset import build_dataset
from training.data.rows import rows_file
from training.trained import read_run
from training.tune.ends import end_tokens, generation_config
from training.tune.marking import end_token, marked_template

pytestmark = pytest.mark.slow

pytest.importorskip("trl")

PHI = """{% for message in messages %}{{ '<|' + message.role + '|>\\n' + message.content + '<|end|>\\n' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"""
FAMILIES = {
    "chatml": (CHATML, "<|im_end|>"),
    "mistral": (MISTRAL_3, "</s>"),
    "llama-3": (LLAMA_3, "<|eot_id|>"),
    "gemma": (GEMMA, "<end_of_turn>"),
    "phi": (PHI, "<|end|>"),
}
MARKUP = (
    *("<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    *("<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<|end|>"),
)
ASKED, ANSWER = "Go on.", "Well."
MOST = 40  # tokens of a reply; a model that stops needs 6


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows that all hold one short conversation, so that a few steps teach it."""
    folder = tmp_path_factory.mktemp("data") / "data"
    folder.mkdir()
    said: dict[str, Any] = {"prompt1": ASKED, "answer1": ANSWER, "prompt2": ASKED, "answer2": ANSWER}
    rows = [row_of(item, **said) for item in items(1, 8)]
    rows_file(folder, 1).write_text("".join(row.line() for row in rows), encoding="utf-8")
    build_dataset(folder, validation=0)
    return folder


def base_of(folder: Path, family: str) -> Path:
    tokenizer = byte_tokenizer(MARKUP, template=FAMILIES[family][0])
    write_tiny_model(folder, tokenizer)
    return folder


def reply(model: Any, tokenizer: Any) -> list[int]:
    """What the model writes, with nothing but its own configuration to stop it."""
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": ASKED}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    written = model.generate(**asked, do_sample=False, max_new_tokens=MOST, pad_token_id=0)
    return [int(token) for token in written[0, asked["input_ids"].shape[1] :]]


@pytest.mark.parametrize("family", FAMILIES)
def test_trained_models_stop_by_themselves(server: TrainServer, data: Path, tmp_path: Path, family: str):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = base_of(tmp_path / "base", family)
    tokenizer = AutoTokenizer.from_pretrained(base)
    end = tokenizer.convert_tokens_to_ids(FAMILIES[family][1])
    fields: dict[str, Any] = {"steps": 40, "save_steps": 40, "global_batch": 8, "micro_batch": 8}
    recipe = write_recipe(tmp_path / "full.yaml", base, **fields)
    run = server.start(*train_arguments(recipe, data, tmp_path / "full"))
    assert run.wait() == 0, run.said()
    full = tmp_path / "full" / "model"

    # The same weights as published ones often are: they stop at the tokenizer's own end alone.
    published = shutil.copytree(full, tmp_path / "published")
    (published / "generation_config.json").write_text(json.dumps({"eos_token_id": tokenizer.eos_token_id}))
    lora = {"method": "lora", "lora": {"r": 4, "alpha": 8}, "steps": 2}
    recipe = write_recipe(tmp_path / "lora.yaml", published, **(fields | lora))
    run = server.start(*train_arguments(recipe, data, tmp_path / "lora", "--merge"))
    assert run.wait() == 0, run.said()
    for folder in (full, tmp_path / "lora" / "merged", tmp_path / "lora" / "model"):
        assert end in end_tokens(generation_config(str(folder)))
        if folder.name == "model" and folder != full:
            model: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(full), folder)
        else:
            model = AutoModelForCausalLM.from_pretrained(folder)
        written = reply(model, tokenizer)
        assert written[-1] == end, (folder, tokenizer.decode(written))
        assert len(written) < MOST
    sides = read_run(tmp_path / "lora").model_arguments("hf")
    taken = "peft=" if family == "mistral" else "merged"  # with an adapter the others would never stop
    assert taken in sides["after"]


def test_an_adapter_whose_base_never_stops_is_refused(server: TrainServer, data: Path, tmp_path: Path):
    base = base_of(tmp_path / "base", "chatml")
    fields = {"method": "lora", "lora": {"r": 4, "alpha": 8}, "steps": 1}
    recipe = write_recipe(tmp_path / "recipe.yaml", base, **fields)
    refused = server.start(*train_arguments(recipe, data, tmp_path / "out"))
    assert refused.wait() == 1
    assert "does not stop at <|im_end|>" in refused.said()
    assert "add --merge" in refused.said()
    assert not (tmp_path / "out").exists()


def test_a_template_whose_marks_leave_the_end_out_is_refused():
    own = """{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' %}{%- generation %}{{ message.content }}{% endgeneration %}{{ '<|im_end|>' }}
{%- else %}{{ message.content + '<|im_end|>' }}{% endif %}{% endfor %}"""
    tokenizer = byte_tokenizer(MARKUP, template=own)
    with pytest.raises(UserError, match="leave out the token that ends an answer"):
        end_token(tokenizer, marked_template(tokenizer))
