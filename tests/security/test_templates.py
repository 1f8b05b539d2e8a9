"""Packs of others: no template runs code or grows without end, no name is slow, no link leads elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jinja2
import pytest

from grading import UserError
from grading.safety.templates import MOST_TEXT, TemplateRefusedError, environment, render_foreign
from skillmix_tasks.checks import find_named
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import Skill
from tests.security.foreign import HONEST, SKILLS, write_answers_file, write_pack
from tests.skillmix_tasks.running import environment as variables
from tests.skillmix_tasks.running import run
from training.data.source import open_source

# Each makes the file MARK where templates are rendered by a plain Jinja environment.
RUNS_CODE = {
    "a global's globals": "{{ cycler.__init__.__globals__.os.popen('touch MARK').read() }}",
    "lipsum": "{{ lipsum.__globals__['os'].popen('touch MARK').read() }}",
    "undefined": "{{ nothing.__init__.__globals__['__builtins__'].open('MARK', 'w') }}",
    "self": "{{ self.__init__.__globals__.__builtins__.open('MARK', 'w') }}",
    "subclasses": (
        "{% for c in ''.__class__.__base__.__subclasses__() %}{% if c.__name__ == '_wrap_close' %}"
        "{{ c.__init__.__globals__['popen']('touch MARK').read() }}{% endif %}{% endfor %}"
    ),
    "attr filter": ("{{ (cycler|attr('__init__')|attr('__globals__')).get('os').popen('touch MARK').read() }}"),
    "names made of pieces": "{{ cycler['__in'~'it__']['__glo'~'bals__']['os']['popen']('touch MARK').read() }}",
    "namespace": "{% set n = namespace(f=lipsum.__globals__.os.popen) %}{{ n.f('touch MARK').read() }}",
    "a macro": ("{% macro m() %}{{ cycler.__init__.__globals__.os.system('touch MARK') }}{% endmacro %}{{ m() }}"),
    "a test": "{% if cycler.__init__.__globals__.os.system('touch MARK') is defined %}{% endif %}",
    "a loop's condition": "{% for s in skills if lipsum.__globals__.os.system('touch MARK') %}{% endfor %}",
    "a filter's argument": "{{ topic|center(cycler.__init__.__globals__.os.system('touch MARK')) }}",
}
OTHERS = {
    "the attributes of a text": "{{ topic.__class__.__mro__ }}",
    "a text's format": "{{ '{0.__class__.__init__.__globals__}'.format(topic) }}",
    "a text's format_map": "{{ '{a.__class__}'.format_map(skills[0]) }}",
    "map by attribute": "{{ skills|map(attribute='__class__.__init__')|join }}",
    "map by filter": "{{ skills|map('attr', '__class__')|join }}",
    "join by attribute": "{{ skills|join(', ', 'name.__class__') }}",
    "a changed list": "{{ skills.append(1) }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'turn1.jinja' as t %}",
    "extends": "{% extends 'turn1.jinja' %}",
    "a block": "{% block a %}{{ super() }}{% endblock %}",
    "do": "{% do skills.clear() %}",
    "debug": "{% debug %}",
}
WITHOUT_END = {
    "range": "{% for i in range(10**9) %}x{% endfor %}",
    "nested ranges": (
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}x"
        "{% endfor %}{% endfor %}{% endfor %}"
    ),
    "loops over letters": "{% for a in topic %}{% for b in topic %}{% endfor %}{% endfor %}",
    "three loops": (
        "{% for a in skills %}{% for b in skills %}{% for c in skills %}x{% endfor %}{% endfor %}{% endfor %}"
    ),
    "a recursive loop": "{% for a in skills recursive %}{{ loop(skills) }}{% endfor %}",
    "times": "{{ 'a' * 10**9 }}",
    "a list times": "{{ [1] * 10**9 }}",
    "power": "{{ 9**9**9 }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "format": "{{ '%1000000000d'|format(1) }}",
    "center": "{{ 'a'|center(10**9) }}",
    "indent": "{{ topic|indent(10**9, true) }}",
    "replace": "{{ topic|replace('', topic)|replace('', topic)|replace('', topic) }}",
    "lipsum": "{{ lipsum(n=10**8) }}",
    "a growing variable": "{% set a = topic %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
    "a captured block": "{% set a %}{{ topic }}{% endset %}" + "{% set a %}{{ a }}{{ a }}{% endset %}" * 40,
    "with": "{% with a = topic ~ topic %}" * 30 + "{{ a }}" + "{% endwith %}" * 30,
    "a macro that calls itself": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "joins of joins": "{{ skills[0].definition" + "|join(skills[0].definition)" * 30 + " }}",
    "wordwrap": "{{ topic|wordwrap(1, true, 'x' * 10**9) }}",
    "slice": "{{ topic|batch(10**9, 'x')|list }}",
    "tojson": "{{ topic" + "|tojson" * 39 + " }}",
    "pprint": "{{ skills|pprint }}",
    "a long number": "{{ " + "9" * 5000 + " }}",
    "brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "many ifs": "{% if topic %}" * 200 + "{% endif %}" * 200,
    "a long template": "x" * (MOST_TEXT + 1),
    "many values": "{{ topic }}" * 2000,
}


def one_sentence(folder: Path) -> str:
    """What is said of a pack that is refused."""
    with pytest.raises(UserError) as raised:
        load_pack(str(folder))
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert len(sentence) < 600
    return sentence


@pytest.mark.parametrize("name", RUNS_CODE)
def test_no_template_runs_code(name: str, tmp_path: Path):
    mark = tmp_path / "mark"
    sentence = one_sentence(write_pack(tmp_path / "pack", RUNS_CODE[name].replace("MARK", str(mark))))
    assert "cannot be filled in" in sentence
    assert not mark.exists()


@pytest.mark.slow
def test_the_attack_would_work_in_a_plain_environment(tmp_path: Path):
    mark = tmp_path / "mark"
    template = RUNS_CODE["a global's globals"].replace("MARK", str(mark))
    jinja2.Environment().from_string(template).render()
    assert mark.exists()


@pytest.mark.parametrize("name", OTHERS)
def test_no_template_reaches_past_its_values(name: str, tmp_path: Path):
    assert "cannot be filled in" in one_sentence(write_pack(tmp_path / "pack", OTHERS[name]))


@pytest.mark.parametrize("name", WITHOUT_END)
def test_no_template_works_or_grows_without_end(name: str, tmp_path: Path):
    started = time.process_time()
    assert "cannot be filled in" in one_sentence(write_pack(tmp_path / "pack", WITHOUT_END[name]))
    assert time.process_time() - started < 5


def test_the_check_costs_little_where_it_matters():
    """Two loops over many long records: the most work that a template may ask for is cut by its output."""
    skills = [{"name": "n" * 100, "definition": "d" * 100} for _ in range(100)]
    template = (
        "{% for a in skills %}{% for b in skills %}{{ a.definition }}{{ b.definition }}{% endfor %}{% endfor %}"
    )
    with pytest.raises(TemplateRefusedError, match="makes more than 100,000 characters"):
        render_foreign(template, {"skills": skills})


def test_long_values_are_refused():
    with pytest.raises(TemplateRefusedError, match="100,000 characters each"):
        render_foreign("{{ topic }}", {"topic": "x" * (MOST_TEXT + 1)})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ topic }}, {{ limit }}", "Rain, one sentence"),
        (
            "{% for s in skills %}{{ loop.index }}. {{ s.name }}{% if not loop.last %}; {% endif %}{% endfor %}",
            "1. u; 2. v",
        ),
        ("{{ skills|map(attribute='name')|join(', ') }}", "u, v"),
        ("{{ skills|join('+', attribute='name') }}", "u+v"),
        ("{% if skills|length > 1 %}all{% else %}one{% endif %}", "all"),
        ("{{ 'these' if skills|length > 1 else 'this' }} {{ topic|upper|trim }}", "these RAIN"),
        ("{{ skills[0].name }}{{ skills[-1]['name'] }}{{ (skills|first).name }}", "uvu"),
        ("{% for s in skills[1:]|sort(attribute='name') %}{{ s.name ~ '!' }}{% else %}-{% endfor %}", "v!"),
        ("{% raw %}{{ topic }}{% endraw %}{# a note #}", "{{ topic }}"),
        ("{% for s in skills %}\n{{ loop.index0 + 1 }}\n{% endfor %}\n", "1\n2\n"),
    ],
)
def test_honest_templates_say_what_they_did(template: str, text: str):
    values: dict[str, Any] = {
        "topic": "Rain",
        "limit": "one sentence",
        "skills": [{"name": name, "definition": name} for name in "uv"],
    }
    assert render_foreign(template, values) == text
    assert environment().from_string(template).render(values) == text


@pytest.mark.slow
def test_the_command_that_vets_a_pack_runs_nothing(tmp_path: Path):
    mark = tmp_path / "mark"
    pack = write_pack(tmp_path / "pack", RUNS_CODE["a global's globals"].replace("MARK", str(mark)))
    done = run("skillmix", "pack", "check", pack, env=variables(tmp_path / "home"), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The prompt turn1.jinja of the pack 'foreign' cannot be filled in")
    assert not mark.exists()


@pytest.mark.parametrize("trust", [(), ("--trust-file",)])
@pytest.mark.slow
def test_an_answers_file_runs_nothing(trust: tuple[str, ...], tmp_path: Path):
    mark = tmp_path / "mark"
    pack = write_pack(tmp_path / "pack", RUNS_CODE["lipsum"].replace("MARK", str(mark)))
    answers = write_answers_file(tmp_path / "a.jsonl", settings={"items": 1, "pack": str(pack)})
    judge = ("--judge", "judge-1", "--judge-base-url", "http://127.0.0.1:9/v1")
    done = run("skillmix", "grade", answers, *judge, *trust, env=variables(tmp_path / "home"), cwd=tmp_path)
    assert done.returncode == 1
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert ("cannot be filled in" if trust else f"names the pack {str(pack)!r}") in sentence
    assert not mark.exists()


@pytest.mark.parametrize("named", ["by the user", "by the file, trusted", "by the file"])
@pytest.mark.slow
def test_a_data_set_of_the_hub_runs_nothing(named: str, tmp_path: Path):
    mark, commit = tmp_path / "mark", "a" * 40
    snapshot = tmp_path / "hf" / "hub" / "datasets--some--body" / "snapshots" / commit
    write_pack(snapshot / "pack", RUNS_CODE["a global's globals"].replace("MARK", str(mark)))
    (snapshot / "data" / "k2").mkdir(parents=True)
    (snapshot / "data" / "k2" / "test-00000-of-00001.parquet").touch()
    source = {"path": "some/body", "revision": commit}
    settings = {"items": 1} if named == "by the user" else {"items": 1, "items_from": source}
    answers = write_answers_file(tmp_path / "a.jsonl", settings=settings)
    options = {
        "by the user": ["--set", f'items_from={{"path": "some/body", "revision": "{commit}"}}'],
        "by the file, trusted": ["--trust-file"],
        "by the file": [],
    }[named]
    command: list[str | Path] = ["grade", answers, "--judge", "judge-1", *options]
    env = variables(tmp_path / "home", HF_HOME=str(tmp_path / "hf")) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    if named == "by the file":
        done = run("skillmix", *command, env=env, cwd=tmp_path)
    else:  # a process of its own: the Hub's client reads HF_HOME when it is imported
        module: list[str | Path] = [sys.executable, "-m", "skillmix", *command]
        done = subprocess.run(module, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert ("names the data set 'some/body'" if named == "by the file" else "cannot be filled in") in sentence
    assert not mark.exists()


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (
            "Write. {{ cycler.__init__.__globals__ }} {skills_defs_and_examples_simple} {topic}",
            "cannot be filled in",
        ),
        ("Write. {topic.__class__} {skills_defs_and_examples_simple}", "leaves out"),
        ("Write. {__import__} {topic}", "placeholder {__import__} is not one of"),
    ],
)
def test_prompts_in_the_reference_s_format_run_nothing(prompt: str, reason: str, tmp_path: Path):
    (tmp_path / "prompts" / "generation").mkdir(parents=True)
    (tmp_path / "skills.csv").write_text(
        "category,skill,definition,example\nliterary,skill u,It does u.,U came.\n"
    )
    (tmp_path / "topics.txt").write_text("Rain\n")
    (tmp_path / "prompts" / "generation" / "default.json").write_text(json.dumps([prompt, "Again."]))
    assert reason in one_sentence(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"name": "s " * 14}, {"name": "x" * 101}, {"aliases": ["s-s-s-s-s-s-s-s-s"]}, {"aliases": ["a"] * 51}],
)
def test_names_of_which_patterns_would_be_slow_are_refused(changes: dict[str, Any], tmp_path: Path):
    skills = [SKILLS[0] | changes, *SKILLS[1:]]
    assert "skill-u" in one_sentence(write_pack(tmp_path / "pack", HONEST, skills=skills))


def test_the_slowest_name_that_may_be_is_found_in_time():
    skill = Skill.model_validate(SKILLS[0] | {"name": "s s s s s s s s"})
    started = time.process_time()
    find_named(("s" * 400 + "x ") * 5, skill)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("place", ["skills.yaml", "prompts/turn1.jinja", "prompts", "controls.yaml"])
def test_no_link_leads_out_of_a_pack(place: str, tmp_path: Path):
    pack = write_pack(tmp_path / "pack")
    secret = tmp_path / "secret"
    target = pack / place
    if target.exists():
        target.rename(secret)
    else:
        secret.write_text("[]")
    target.symlink_to(secret)
    assert f"{target} is a link to a file outside the pack" in one_sentence(pack)


def test_a_link_inside_a_pack_is_followed(tmp_path: Path):
    pack = write_pack(tmp_path / "pack")
    (pack / "prompts" / "turn2.jinja").unlink()
    (pack / "prompts" / "turn2.jinja").symlink_to("turn1.jinja")
    assert load_pack(str(pack)).prompts["turn2"] == HONEST


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret.jsonl", "https://127.0.0.1:9/a.jsonl", "zip://a::b.zip"]
)
def test_the_card_of_training_data_leads_nowhere_else(name: str, tmp_path: Path):
    (tmp_path / "secret.jsonl").write_text('{"text": "secret"}\n')
    data = tmp_path / "data"
    data.mkdir()
    (data / "README.md").write_text(
        f"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: ['{name}']\n---\n"
    )
    with pytest.raises(UserError, match="is outside its folder, and is not followed"):
        open_source(str(data), None)


@pytest.mark.parametrize("student", [{"model": ".."}, {"model": ""}, {}])
@pytest.mark.slow
def test_the_student_s_name_leads_out_of_no_folder(student: dict[str, str], tmp_path: Path):
    answers = write_answers_file(tmp_path / "a.jsonl", student=student)
    judge = ("--judge", "judge-1", "--judge-base-url", "http://127.0.0.1:9/v1", "-o", tmp_path / "in" / "out")
    done = run("skillmix", "grade", answers, *judge, env=variables(tmp_path / "home"), cwd=tmp_path)
    assert "names no student" in done.stderr
    assert not (tmp_path / "in").exists()
