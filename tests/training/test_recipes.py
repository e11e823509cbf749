"""Every recipe of the package: known fields, figures as printed, and a step of training."""

import dataclasses
import json

import pytest
import torch
from tiny import build, make_batch

from duosent.data.prepare import READERS
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.recipe import read_recipe, recipe_names
from duosent.training.run import TASKS, check_config

# A few rows, typed from the papers' tables: accuracy, F1, name of the F1.
PUBLISHED = {
    "mdse-mvsa-single-vit": (76.22, 75.71, "weighted_f1"),
    "mdse-mvsa-single-vit-base": (73.77, 72.52, "weighted_f1"),
    "mdse-mvsa-single-vgg19-base": (74.33, 74.38, "weighted_f1"),
    "mdse-mvsa-single-resnet50": (75.93, 74.83, "weighted_f1"),
    "mdse-mvsa-multiple-vit": (72.31, 70.12, "weighted_f1"),
    "mdse-mvsa-multiple-resnet50-base": (70.29, 67.65, "weighted_f1"),
    "mdse-twitter-2015-vit": (78.49, 75.29, "macro_f1"),
    "mdse-twitter-2015-vgg19": (75.77, 73.22, "macro_f1"),
    "mdse-twitter-2017-vit": (72.77, 72.63, "macro_f1"),
    "mdse-twitter-2017-resnet50": (71.93, 71.88, "macro_f1"),
    "mdse-mvsa-single-ipfl": (74.07, 72.83, "weighted_f1"),
    "mdse-mvsa-single-ipfl-tpfl": (75.44, 74.91, "weighted_f1"),
    "mdse-twitter-2015-tpfl-macl": (77.07, 75.15, "macro_f1"),
    "mdse-mvsa-single-no-adaptation": (75.33, 74.36, "weighted_f1"),
    "mdse-twitter-2015-macl-image-text": (77.18, 74.73, "macro_f1"),
    "radm-msed-sentiment": (None, None, "f1"),
    "radm-mvsa-single-rm-rg": (None, None, "f1"),
}
# What each row of tables 1 to 5 switches off: image side, text side, adaptation, contrastive loss, fused view.
SWITCHED_OFF = {
    "vit": "",
    "vit-base": "image text loss",
    "ipfl": "text loss",
    "tpfl": "image loss",
    "ipfl-tpfl": "loss",
    "ipfl-macl": "text",
    "tpfl-macl": "image",
    "no-adaptation": "adaptation",
    "macl-image-text": "fused",
}
FUSION = {"hidden_size": 24, "intermediate_size": 24}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures_are_those_of_the_tables(name):
    accuracy, f1, kind = PUBLISHED[name]
    assert read_recipe(name).published == {"accuracy": accuracy, kind: f1}


def test_there_is_one_for_each_row():
    towers = [f"{tower}{base}" for tower in ("vit", "resnet50", "vgg19") for base in ("", "-base")]
    rows = {f"mdse-{data}-{tower}" for data in READERS if data not in ("msed", "vqa-v2") for tower in towers}
    rows |= {f"mdse-{data}-{row}" for data in ("mvsa-single", "twitter-2015") for row in SWITCHED_OFF}
    labels = ["msed-sentiment", "msed-emotion", "msed-desire", "mvsa-single", "mvsa-multiple"]
    rows |= {f"radm-{label}{ablation}" for label in labels for ablation in ("", "-rm-rg", "-rm-c")}
    assert set(recipe_names()) == rows | {"radm-vqa-v2"}
    assert len(recipe_names()) == len(set(recipe_names()))


@pytest.mark.parametrize("name", recipe_names())
def test_every_field_is_known_and_a_step_is_taken(name):
    recipe = read_recipe(name)
    assert recipe.data_set in READERS and recipe.paper and recipe.text_encoder and recipe.image_encoder
    assert set(recipe.published) <= {"accuracy", "macro_f1", "weighted_f1", "f1"}
    assert set(recipe.training) <= {field.name for field in dataclasses.fields(ImageTextTrainingArguments)}
    check_config(recipe.model, recipe.config)
    aim = TASKS[recipe.task]
    assert recipe.training.get("metric_for_best_model", aim.best_figure) in aim.figures

    model = build(aim.models[recipe.model], **{**recipe.config, **FUSION}).train()
    batch = make_batch()
    if recipe.task == "vqa":
        batch["labels"] = torch.eye(4, 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.training["learning_rate"])
    before = [parameter.clone() for parameter in model.parameters()]
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    pairs = zip(before, model.parameters(), strict=True)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert sum(not torch.equal(old, new) for old, new in pairs) > len(before) / 2


@pytest.mark.parametrize("name", recipe_names())
def test_the_papers_hyperparameters(name):
    recipe = read_recipe(name)
    assert recipe.name.startswith(f"{recipe.model}-{recipe.data_set}")
    rates = {recipe.training[f"{part}learning_rate"] for part in ("", "text_", "image_")}
    assert rates == {2e-5}
    assert (recipe.training["num_train_epochs"], recipe.training["per_device_train_batch_size"]) == (50, 64)
    assert recipe.processing == {"max_length": 128} and recipe.config["hidden_size"] == 768
    if recipe.model == "mdse":
        assert recipe.training["augment"] is True and recipe.config["num_attention_heads"] == 8
        assert (recipe.config["private_similarity"], recipe.config["private_contrast"]) == ("sum", "softmax")
        assert recipe.text_encoder == "roberta-base"
    else:
        assert "augment" not in recipe.training and recipe.config["num_attention_heads"] == 12
        assert {recipe.config[field] for field in recipe.config if "dropout" in field} == {0.2}
        assert recipe.text_encoder == "bert-base-uncased"


@pytest.mark.parametrize("row", SWITCHED_OFF)
def test_each_ablation_switches_off_what_its_row_says(row):
    for data in ("mvsa-single", "twitter-2015"):
        config = read_recipe(f"mdse-{data}-{row}").config
        off = {
            "image": not config.get("image_private", True),
            "text": not config.get("text_private", True),
            "adaptation": not config.get("feature_adaptation", True),
            "loss": config.get("contrastive_weight", 1) == 0,
            "fused": config.get("contrastive_views") == ["image", "text"],
        }
        assert " ".join(name for name, is_off in off.items() if is_off) == SWITCHED_OFF[row]


def test_radms_rows():
    assert read_recipe("radm-msed-desire-rm-rg").config["residual_attention"] == "add"
    assert read_recipe("radm-msed-desire-rm-c").config["cross_modal"] is False
    assert read_recipe("radm-msed-emotion").columns == {"label_column": "emotion"}
    assert read_recipe("radm-vqa-v2").task == "vqa"
    assert not {"residual_attention", "cross_modal"} & set(read_recipe("radm-msed-desire").config)


def test_the_papers_contradiction_is_a_note():
    assert read_recipe("mdse-mvsa-single-vit-base").notes == [
        "Table 3 prints weighted F1 75.52 for the same run, table 1 72.52."
    ]
    assert "78.28" in read_recipe("mdse-twitter-2015-vit-base").notes[0]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "must hold an object, got list."),
        ({"modle": "mdse"}, "holds modle, which no recipe has; did you mean model?"),
        ({"model": "mdse", "config": 3}, "config must be dict, got 3."),
        ({"model": "mdse", "text_encoder": 3}, r"text_encoder must be str \| None, got 3."),
        ({"paper": "none"}, "must name a model, and does not."),
    ],
)
def test_what_is_wrong_with_a_file(content, sentence, tmp_path):
    file = tmp_path / "own.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=sentence):
        read_recipe(str(file))


def test_a_file_of_ones_own_and_names_that_do_not_exist(tmp_path):
    (tmp_path / "own.json").write_text('{"model": "radm", "config": {"cross_modal": false}}')
    recipe = read_recipe(str(tmp_path / "own.json"))
    assert (recipe.name, recipe.model, recipe.config) == ("own", "radm", {"cross_modal": False})
    with pytest.raises(ValueError, match=r"recipe .*none\.json is not a file\."):
        read_recipe(str(tmp_path / "none.json"))
    with pytest.raises(ValueError, match=r"there is no recipe radm-vqa; the nearest are radm-vqa-v2.*--list-recipes"):
        read_recipe("radm-vqa")
