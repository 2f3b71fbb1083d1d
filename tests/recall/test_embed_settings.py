"""Which model the configuration chooses."""

from __future__ import annotations

from pathlib import Path

import pytest

from memferry import config
from memferry.config import Config
from memferry.errors import ConfigError
from memferry.recall.embed.child import Worker
from memferry.recall.embed.registry import of_settings

KEY = "sk-a-key-that-nobody-should-see"


def read(folder: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    (folder / "memferry.yaml").write_text(text, "utf-8")
    return config.load(environ or {}, file=str(folder / "memferry.yaml"))


def test_minilm_unless_another_is_named(tmp_path: Path) -> None:
    choice = of_settings(read(tmp_path, "machine: laptop").recall)
    assert (choice.model, choice.device, choice.remote) == ("minilm", None, False)


def test_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    text = "recall: {model: 'http://localhost:11434/v1', endpoint_model: e, api_key: 'file:key', batch: 8, idle_s: 9}"
    found = read(tmp_path, text)
    choice = of_settings(found.recall)
    assert (choice.endpoint_model, choice.key, choice.batch, choice.remote) == ("e", KEY, 8, True)
    assert KEY not in f"{found!r} {found.recall!r} {choice!r}"


def test_a_key_from_the_environment(tmp_path: Path) -> None:
    text = "recall: {model: 'https://host/v1', endpoint_model: e, api_key: 'env:SOME_KEY'}"
    assert of_settings(read(tmp_path, text, {"SOME_KEY": KEY}).recall).key == KEY
    with pytest.raises(ConfigError, match="SOME_KEY is not set"):
        of_settings(read(tmp_path, text).recall)


def test_a_folder_is_meant_from_the_configuration_file(tmp_path: Path) -> None:
    found = read(tmp_path, "recall: {model: 'sentence-transformers:./models/mine', device: cpu}")
    choice = of_settings(found.recall)
    assert choice.model == f"sentence-transformers:{tmp_path / 'models' / 'mine'}"
    assert choice.device == "cpu"


@pytest.mark.parametrize(
    "text",
    [
        f"recall: {{api_key: {KEY}}}",
        "recall: {batch: 0}",
        "recall: {idle_s: -1}",
        "recall: {model: 7}",
        "recall: {modell: minilm}",
    ],
)
def test_what_is_refused_when_it_is_read(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    assert KEY not in f"{raised.value} {raised.value.hint}"


def test_nothing_starts_before_it_is_asked(tmp_path: Path) -> None:
    worker = Worker(of_settings(read(tmp_path, "recall: {idle_s: 5}").recall))
    assert not worker.running
    worker.close()
