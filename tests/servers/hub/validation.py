"""What the Hub asks of a card's metadata and of files for leaderboards, as far as its documentation says."""

from __future__ import annotations

import re
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

_LICENSES = {
    "apache-2.0",
    "mit",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc0-1.0",
    "llama2",
    "llama3",
    "other",
}
_SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M"}
_TASKS = {"text-generation", "question-answering", "text-classification"}
_COLORS = Literal["red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"]
_ID = r"^[\w-][\w.-]*/[\w-][\w.-]*$"
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Common(_Part):
    license: str
    license_name: str | None = None
    language: list[str] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _known(self) -> _Common:
        if self.license not in _LICENSES:
            raise ValueError(f'"license" must be one of {sorted(_LICENSES)}')
        if self.license == "other" and not self.license_name:
            raise ValueError('"license_name" is required with the license "other"')
        if not all(re.fullmatch("[a-z]{2,3}", code) for code in self.language):
            raise ValueError('"language" must be ISO 639 codes')
        return self


class _DataFile(_Part):
    split: str = Field(pattern=r"^\w+(\.\w+)*$")
    path: str | list[str]


class _Config(_Part):
    config_name: str = Field(pattern=r"^[^<>:/\\|?*]+$")
    data_files: list[_DataFile]
    default: bool = False


class _Dataset(_Common):
    pretty_name: str | None = None
    size_categories: list[str] = Field(default_factory=list)
    task_categories: list[str] = Field(default_factory=list)
    configs: list[_Config] = Field(default_factory=list)

    @model_validator(mode="after")
    def _listed(self) -> _Dataset:
        if not set(self.size_categories) <= _SIZES or not set(self.task_categories) <= _TASKS:
            raise ValueError('"size_categories" and "task_categories" must be of the known ones')
        if sum(config.default for config in self.configs) > 1:
            raise ValueError("only one config can be the default")
        return self


class _Metric(_Part):
    type: str
    value: int | float | str
    name: str | None = None
    args: dict[str, Any] | None = None


class _Task(_Part):
    type: str


class _Of(_Part):
    type: str
    name: str


class _Result(_Part):
    task: _Task
    dataset: _Of
    metrics: list[_Metric] = Field(min_length=1)


class _Index(_Part):
    name: str
    results: list[_Result] = Field(min_length=1)


class _Model(_Common):
    base_model: str | None = Field(default=None, pattern=_ID)
    base_model_relation: Literal["adapter", "finetune", "merge", "quantized"] | None = None
    library_name: str | None = None
    pipeline_tag: str | None = None
    datasets: list[str] = Field(default_factory=list)
    model_index: list[_Index] = Field(default_factory=list, alias="model-index")

    @model_validator(mode="after")
    def _linked(self) -> _Model:
        if self.pipeline_tag is not None and self.pipeline_tag not in _TASKS:
            raise ValueError('"pipeline_tag" must be of the known ones')
        if not all(re.match(_ID, name) for name in self.datasets):
            raise ValueError('"datasets" must be ids of data sets')
        return self


class _Space(_Common):
    title: str
    emoji: str
    colorFrom: _COLORS  # noqa: N815
    colorTo: _COLORS  # noqa: N815
    sdk: Literal["gradio", "docker", "static", "streamlit"]
    short_description: str = Field(default="", max_length=60)


_KINDS: dict[str, type[_Common]] = {"model": _Model, "dataset": _Dataset, "space": _Space}


def faults(content: str, kind: str) -> list[str]:
    """What is wrong with a card's metadata, if anything."""
    front = _FRONT.match(content)
    if front is None:
        return ["empty or missing yaml metadata in repo card"]
    try:
        _KINDS[kind].model_validate(yaml.safe_load(front[1]))
    except ValidationError as error:
        return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    except yaml.YAMLError as error:
        return [str(error)]
    return []


class _BenchmarkTask(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str
    config: str | None = None
    split: str | None = None


class _Benchmark(BaseModel):
    """eval.yaml, as hub-docs/eval-results.md specifies it."""

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str
    evaluation_framework: Literal["math-arena", "swe-bench", "skillmix-tasks"]  # as if ours were on the list
    tasks: list[_BenchmarkTask] = Field(min_length=1)


class _Named(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=_ID)
    task_id: str
    revision: str | None = Field(default=None, pattern="^[0-9a-f]{40}$")


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str = Field(pattern="^https://")
    name: str | None = None
    user: str | None = None
    org: str | None = None


class _Score(BaseModel):
    """An entry of .eval_results/*.yaml, as hub-docs/eval_results.yaml specifies it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    dataset: _Named
    value: float | int
    verifyToken: str | None = None  # noqa: N815
    date: str | None = Field(default=None, pattern=r"^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?$")
    source: _Source | None = None
    notes: str | None = None


def eval_faults(files: dict[str, bytes], kind: str) -> list[str]:
    """What is wrong with the leaderboard files of a repository, if anything."""
    try:
        if kind == "dataset" and "eval.yaml" in files:
            found = _Benchmark.model_validate(yaml.safe_load(files["eval.yaml"]))
            if len({task.id for task in found.tasks}) < len(found.tasks):
                return ["two tasks share an id"]
        for path, content in files.items():
            if kind == "model" and re.fullmatch(r"\.eval_results/[^/]+\.yaml", path):
                for entry in yaml.safe_load(content):
                    _Score.model_validate(entry)
    except ValidationError as error:
        return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return []
