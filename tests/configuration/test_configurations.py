"""Configs: what they take, what they refuse and how, and that saving loses nothing."""

import json

import pytest
from huggingface_hub.errors import StrictDataclassError

from duosent import BaselineConfig, MdseConfig, RadmConfig

WRONG = [
    (MdseConfig, {"hidden_size": 0}, "hidden_size must be > 0, got 0"),
    (MdseConfig, {"hidden_size": 100}, "hidden_size must be a multiple of num_attention_heads, got hidden_size=100"),
    (MdseConfig, {"hidden_dropout_prob": 1}, "hidden_dropout_prob must be >= 0 and < 1, got 1"),
    (MdseConfig, {"classifier_dropout": -0.1}, "classifier_dropout must be >= 0 and < 1, got -0.1"),
    (MdseConfig, {"layer_norm_eps": 0.0}, "layer_norm_eps must be > 0, got 0.0"),
    (MdseConfig, {"problem_type": "regression"}, "problem_type must be single_label_classification or"),
    (MdseConfig, {"private_similarity": "max"}, 'private_similarity must be "sum" or "mean", got \'max\''),
    (MdseConfig, {"private_contrast": "sum"}, 'private_contrast must be "softmax" or "max", got \'sum\''),
    (MdseConfig, {"contrastive_weight": -1}, "contrastive_weight must be >= 0, got -1"),
    (MdseConfig, {"contrastive_temperature": 0}, "contrastive_temperature must be > 0, got 0"),
    (MdseConfig, {"contrastive_form": "sum"}, 'contrastive_form must be "anchor" or "ratio", got \'sum\''),
    (MdseConfig, {"contrastive_views": ()}, "contrastive_views must be one or more of image, text, fused, got"),
    (MdseConfig, {"contrastive_views": ["image", "image"]}, "contrastive_views must be one or more of"),
    (RadmConfig, {"residual_attention": "sum"}, 'residual_attention must be "gated", "add" or "none", got \'sum\''),
    (RadmConfig, {"num_interaction_layers": 0}, "num_interaction_layers must be > 0, got 0"),
    (RadmConfig, {"num_fusion_layers": -1}, "num_fusion_layers must be > 0, got -1"),
    (BaselineConfig, {}, "text_config or vision_config must be given, got None for both"),
]


@pytest.mark.parametrize(("config_class", "fields", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_value_is_refused_in_one_sentence(config_class, fields, message):
    with pytest.raises(StrictDataclassError, match=message.replace("(", r"\(")):
        config_class(**fields)


def test_a_value_of_the_wrong_type_is_refused():
    with pytest.raises(StrictDataclassError, match="hidden_size"):
        MdseConfig(hidden_size="wide")


def test_an_unknown_field_is_refused_with_the_nearest_name():
    with pytest.raises(
        ValueError, match=r"MdseConfig has no field contrastive_wight \(value 2\); did you mean contrastive_weight\?"
    ):
        MdseConfig(contrastive_wight=2)


@pytest.mark.parametrize(
    ("config_class", "fields"),
    [
        (MdseConfig, {"contrastive_views": ["image", "text"], "hidden_dropout_prob": 0, "private_similarity": "sum"}),
        (RadmConfig, {"residual_attention": "add", "num_labels": 5, "freeze_image": True}),
        (BaselineConfig, {"text_config": {"model_type": "roberta", "hidden_size": 24, "num_attention_heads": 2}}),
        (BaselineConfig, {"vision_config": {"model_type": "timm_wrapper", "architecture": "resnet18"}}),
    ],
)
def test_saving_loses_nothing(config_class, fields, tmp_path):
    config = config_class(id2label={0: "sad", 1: "glad"}, label2id={"sad": 0, "glad": 1}, **fields)
    config.save_pretrained(tmp_path)
    again = config_class.from_pretrained(tmp_path)
    assert again.to_dict() == config.to_dict()
    if "contrastive_views" in fields:
        assert config.contrastive_views == again.contrastive_views == ("image", "text")
    assert type(again.text_config) is type(config.text_config)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["model_type"] == config_class.model_type
    assert saved.get("vision_config") is None or "model_type" in saved["vision_config"]


def test_a_field_of_another_version_is_kept(tmp_path, caplog):
    MdseConfig().save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**saved, "field_of_tomorrow": 3}))
    assert MdseConfig.from_pretrained(tmp_path).field_of_tomorrow == 3


def test_defaults_are_those_of_the_papers():
    mdse, radm = MdseConfig(), RadmConfig()
    assert (mdse.hidden_size, mdse.num_attention_heads, mdse.intermediate_size) == (768, 8, 768)
    assert (mdse.contrastive_weight, mdse.contrastive_temperature, mdse.contrastive_form) == (1.0, 0.07, "anchor")
    assert mdse.contrastive_views == ("image", "text", "fused")
    assert (radm.num_attention_heads, radm.intermediate_size) == (12, 3072)
    assert (radm.num_interaction_layers, radm.num_fusion_layers, radm.residual_attention) == (3, 2, "gated")
    assert mdse.text_config.model_type == "bert" and mdse.vision_config.model_type == "vit"
    assert (mdse.hidden_dropout_prob, mdse.attention_probs_dropout_prob, mdse.classifier_dropout) == (0.1, 0.1, 0.2)
