"""From a trained checkpoint to another task: every weight but the head's, and sentences on what does not fit."""

import logging

import pytest
import torch

from duosent import (
    ImageTextProcessor,
    MdseForImageTextClassification,
    RadmConfig,
    RadmForImageTextClassification,
    RadmForVisualQuestionAnswering,
)
from duosent.configuration.configuration_mdse import MdseConfig
from duosent.training.checkpoints import CallError
from duosent.training.starts import CheckpointStart, EncodersStart

SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_interaction_layers": 2}
LABELS = {"id2label": {0: "sad", 1: "glad", 2: "calm"}, "problem_type": "single_label_classification"}


@pytest.fixture(scope="module")
def answering(text_encoder_dir, image_encoder_dir, processor, tmp_path_factory) -> str:
    """A RADM with three answers, as many as there will be labels."""
    folder = tmp_path_factory.mktemp("vqa")
    torch.manual_seed(0)
    answers = {0: "yes", 1: "no", 2: "red"}
    config = {**SMALL, "id2label": answers, "freeze_image": True, "hidden_dropout_prob": 0.3}
    model = RadmForVisualQuestionAnswering.from_encoders(text_encoder_dir, image_encoder_dir, **config)
    model.save_pretrained(folder)
    ImageTextProcessor(
        processor.image_processor, processor.tokenizer, clean_text=False, reduced_decoding=False, max_length=20
    ).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("labels", [LABELS, {**LABELS, "id2label": dict(enumerate("abcde"))}])
def test_only_the_head_is_new(answering, labels, caplog):
    caplog.set_level(logging.INFO, "duosent")
    torch.manual_seed(1)
    start = CheckpointStart(answering, RadmConfig, {})
    model, _ = start.build(RadmForImageTextClassification, labels, {})
    before = RadmForVisualQuestionAnswering.from_pretrained(answering).state_dict()
    after = model.state_dict()
    assert after.keys() == before.keys()
    same = {
        name for name in after if after[name].shape == before[name].shape and torch.equal(after[name], before[name])
    }
    # A new bias is zero, as an untrained old one is.
    assert set(after) - same <= {"classifier.weight", "classifier.bias"} and "classifier.weight" not in same
    assert model.config.id2label == labels["id2label"] and model.config.problem_type == labels["problem_type"]
    assert len(model.classifier.bias) == len(labels["id2label"])
    assert "but for new ones: classifier.weight, classifier.bias." in caplog.text


def test_config_and_processor_are_the_checkpoints_where_nothing_else_is_said(answering):
    start = CheckpointStart(answering, RadmConfig, {})
    model, processor = start.build(RadmForImageTextClassification, LABELS, {})
    assert model.config.hidden_dropout_prob == 0.3 and model.config.num_interaction_layers == 2
    assert not any(parameter.requires_grad for parameter in model.radm.vision_model.parameters())
    assert processor.clean_text is False and processor.max_length == 20 and processor.reduced_decoding is False
    model, processor = start.build(
        RadmForImageTextClassification,
        {**LABELS, "freeze_image": False, "hidden_dropout_prob": 0.0, "attn_implementation": "eager"},
        {"clean_text": True, "max_length": 30, "reduced_decoding": True},
    )
    assert model.config.hidden_dropout_prob == 0.0 and model.config._attn_implementation == "eager"
    assert all(parameter.requires_grad for parameter in model.radm.vision_model.parameters())
    assert processor.clean_text is True and processor.max_length == 30 and processor.reduced_decoding is True


def test_a_classifier_can_be_a_start_too(text_encoder_dir, image_encoder_dir, processor, tmp_path):
    small = {name: value for name, value in SMALL.items() if name != "num_interaction_layers"}
    trained = MdseForImageTextClassification.from_encoders(text_encoder_dir, image_encoder_dir, **small)
    trained.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    model, _ = CheckpointStart(str(tmp_path), MdseConfig, {}).build(MdseForImageTextClassification, LABELS, {})
    for name, weight in trained.mdse.state_dict().items():
        assert torch.equal(model.mdse.state_dict()[name], weight), name
    with pytest.raises(CallError, match=r"must hold a model of type radm, got mdse\.$"):
        CheckpointStart(str(tmp_path), RadmConfig, {})


def test_wrong_fields_are_one_sentence(answering):
    for fields, message in [
        ({"hiden_size": 16}, "RadmConfig has no field hiden_size (value 16); did you mean hidden_size?"),
        ({"num_fusion_layers": 0}, "num_fusion_layers must be > 0, got 0."),
    ]:
        with pytest.raises(CallError) as error:
            CheckpointStart(answering, RadmConfig, fields)
        assert str(error.value) == message
    for fields, shapes in [
        ({"intermediate_size": 64}, "is (32, 16) there and would be (64, 16)."),
        ({"num_fusion_layers": 1}, "there and would be None."),
        ({"num_interaction_layers": 3}, "is None there and would be"),
        ({"residual_attention": "add"}, "there and would be None."),
    ]:
        start = CheckpointStart(answering, RadmConfig, fields)
        with pytest.raises(CallError) as error:
            start.build(RadmForImageTextClassification, {**LABELS, **fields}, {})
        assert "does not fit the config that is asked for: the shape of radm." in str(error.value)
        assert shapes in str(error.value) and "\n" not in str(error.value)


def test_a_start_that_is_not_there():
    with pytest.raises(CallError, match=r"^no/such/checkpoint is neither a folder with a checkpoint nor a model"):
        CheckpointStart("no/such/checkpoint", RadmConfig, {})
    with pytest.raises(
        CallError, match=r"^image_encoder no/encoder/there is neither a folder nor a name on the Hub\.$"
    ):
        EncodersStart("mdse", "bert-base-uncased", "no/encoder/there")
