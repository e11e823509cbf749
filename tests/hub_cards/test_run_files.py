"""What is read of a run's folder, and what of it is nobody's business."""

import json

import pytest
from made_runs import CONFIG, METRICS, RUN, made_run

from duosent.hub_cards.card_facts import CardFacts
from duosent.hub_cards.run_files import CardError, logged_evaluations, read_run_files, shown_command, shown_path


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("duosent train --data /home/me/mvsa --seed 1", "duosent train --data mvsa --seed 1"),
        ("duosent train --data=~/my\\ posts/ --seed 1", "duosent train '--data=my posts' --seed 1"),
        ("duosent train --data ../data/msed --text-encoder owner/name", None),
        ("duosent train --hub-token hf_abc --seed 1", "duosent train --hub-token ... --seed 1"),
        ("duosent train --push_to_hub_token=hf_abc", "duosent train --push_to_hub_token=..."),
        ("duosent train 'unclosed", "duosent train ''\"'\"'unclosed'"),
        ("duosent train --data 'C:\\Users\\me\\posts'", "duosent train --data posts"),
    ],
)
def test_a_command_shows_neither_folders_nor_secrets(command, shown):
    assert shown_command(command) == (command if shown is None else shown)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/me/encoders/vit/", "vit"),
        ("../shared/weights/vit", "vit"),
        (".venv/lib/model", "model"),
        ("google/vit-base", "google/vit-base"),
        ("roberta-base", "roberta-base"),
        ("/", "/"),
    ],
)
def test_paths(value, shown):
    assert shown_path(value) == shown


def test_base_models_and_data_are_hub_names_only_where_the_run_says_so(tmp_path):
    here = read_run_files(made_run(tmp_path / "a"))
    assert here.base_models == ["someone/text-encoder"] and here.datasets == [] and here.data_name() == "posts"
    hub = RUN | {"data": "someone/posts", "from_hub": ["data", "text_encoder", "image_encoder"]}
    there = read_run_files(made_run(tmp_path / "b", run=hub))
    assert there.datasets == ["someone/posts"] and there.data_name("someone/posts") == "someone/posts"
    assert there.base_models == ["someone/text-encoder", "/home/someone/encoders/vit"]
    old = {name: value for name, value in RUN.items() if name != "from_hub"}
    assert read_run_files(made_run(tmp_path / "c", run=old)).base_models == []
    words_only = CONFIG | {"model_type": "image_text_baseline", "vision_config": None}
    assert read_run_files(made_run(tmp_path / "d", run=hub, config=words_only)).base_models == ["someone/text-encoder"]
    assert read_run_files(made_run(tmp_path / "e", card={"base_models": ["x/y"]})).base_models == ["x/y"]


def test_every_metrics_file_is_an_evaluation(tmp_path):
    folder = made_run(tmp_path, metrics_test=METRICS | {"split": "test"}, metrics_note={"some": "thing"})
    assert [figures["split"] for figures in read_run_files(folder).evaluations] == ["validation", "test"]


def test_without_metrics_the_log_of_the_best_model_counts(tmp_path):
    logs = [
        {"step": 2, "eval_accuracy": 0.5, "eval_macro_f1": 0.4, "eval_n": 10},
        {"step": 2, "loss": 1.0},
        {"step": 4, "eval_accuracy": 0.7, "eval_macro_f1": 0.6, "eval_n": 10},
    ]
    state = {"best_global_step": 2, "log_history": logs}
    best = {"step": 2, "accuracy": 0.5, "macro_f1": 0.4, "n": 10, "split": "validation"}
    assert logged_evaluations(state) == [best]
    assert logged_evaluations({"log_history": logs})[0]["accuracy"] == 0.7
    assert logged_evaluations({}) == []
    folder = made_run(tmp_path, metrics=None, trainer_state=state)
    assert read_run_files(folder).evaluations == [best]


def test_a_folder_without_a_checkpoint(tmp_path):
    with pytest.raises(CardError, match=r"is not a folder with a checkpoint: it holds no config\.json\.$"):
        read_run_files(tmp_path / "nothing")
    with pytest.raises(CardError, match="holds a model of type bert, which is not one of duosent's"):
        read_run_files(made_run(tmp_path / "bert", config={"model_type": "bert"}))


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_a_damaged_file_is_named(tmp_path, content):
    folder = made_run(tmp_path)
    (folder / "metrics.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(CardError, match=r"metrics\.json (cannot be read as JSON|must hold an object)"):
        read_run_files(folder)


def test_facts_are_checked(tmp_path):
    with pytest.raises(ValueError, match="languages must be ISO 639 codes such as en, or multilingual, got 'English'"):
        CardFacts(languages=["English"])
    with pytest.raises(ValueError, match="datasets must be Hub names, got 'a/b/c'"):
        CardFacts(datasets=["a/b/c"])
    with pytest.raises(ValueError, match="license must hold a character that can be seen, got ' '"):
        CardFacts(license=" ")
    with pytest.raises(CardError, match=r"card\.json: colour is no fact of a card, only name, license"):
        read_run_files(made_run(tmp_path, card={"colour": "red"}))


def test_facts_of_now_go_over_earlier_ones():
    earlier = CardFacts(license="mit", languages=["en"])
    assert json.loads(json.dumps(CardFacts(license="cc0-1.0").over(earlier).stated())) == {
        "license": "cc0-1.0",
        "languages": ["en"],
    }
