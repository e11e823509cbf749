"""Every classifier and every kind of tower as ONNX; a minute or more for all of them."""

import pytest
from exports import assert_graph_of, random_posts, tiny_classifier
from tiny import CLASSIFIERS, TEXT
from transformers import PreTrainedTokenizerFast

from duosent import ImageTextProcessor, OnnxModelForImageTextClassification
from duosent.inference.exported_program import graph_inputs
from duosent.inference.onnx_files import DATA_FILE, ONNX_FILE, quantise

TASKS = {"mood": ["sad", "glad"], "desire": ["none", "family", "love"]}
ROBERTA = {"model_type": "roberta", "pad_token_id": 0, "eos_token_id": 3, "bos_token_id": 2, "type_vocab_size": 1}
TIMM = {"model_type": "timm_wrapper"}
TOWERS = {
    "roberta": {"text_config": {**TEXT, **ROBERTA, "vocab_size": 56, "max_position_embeddings": 66}},
    "distilbert": {
        "text_config": {"model_type": "distilbert", "dim": 24, "n_heads": 2, "n_layers": 1, "hidden_dim": 32}
    },
    "resnet": {
        "vision_config": {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
    },
    "timm vit": {
        "vision_config": {
            **TIMM,
            "architecture": "vit_tiny_patch16_224",
            "model_args": {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2},
        }
    },
    "timm resnet": {
        "vision_config": {
            **TIMM,
            "architecture": "resnet18",
            "model_args": {"channels": [8, 8, 8, 8], "layers": [1, 1, 1, 1]},
        }
    },
    "timm vgg": {"vision_config": {**TIMM, "architecture": "vgg11"}},
}


@pytest.fixture
def without_segments(tokenizer, processor) -> ImageTextProcessor:
    """A processor whose tokenizer makes no token_type_ids."""
    words = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        pad_token="[PAD]",
        model_max_length=64,
        model_input_names=["input_ids", "attention_mask"],
    )
    return ImageTextProcessor(processor.image_processor, words)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier(name, tokenizer, processor, tmp_path):
    assert_graph_of(tiny_classifier(name, tokenizer), processor, tmp_path, examples=25)


@pytest.mark.slow
def test_several_tasks(tokenizer, processor, tmp_path):
    model = tiny_classifier("mdse", tokenizer, id2label=None, num_labels=5, tasks=TASKS)
    assert_graph_of(model, processor, tmp_path, examples=10)


@pytest.mark.slow
def test_sums_and_softmax_of_the_paper(tokenizer, processor, tmp_path):
    model = tiny_classifier("mdse", tokenizer, private_similarity="sum", private_contrast="softmax")
    assert_graph_of(model, processor, tmp_path, examples=10)


@pytest.mark.slow
@pytest.mark.parametrize("name", TOWERS)
def test_every_kind_of_tower(name, tokenizer, processor, without_segments, tmp_path):
    words = without_segments if "text_config" in TOWERS[name] else processor
    assert_graph_of(tiny_classifier("concat", tokenizer, **TOWERS[name]), words, tmp_path, examples=10)


@pytest.mark.slow
def test_targets_behind_a_separator(tokenizer, without_segments, tmp_path):
    """RoBERTa has no segments: the target is what stands behind the separator."""
    model = tiny_classifier("tombert", tokenizer, **TOWERS["roberta"])
    assert_graph_of(model, without_segments, tmp_path, examples=25)


@pytest.mark.slow
def test_large_weights_stand_in_a_file_of_their_own(tokenizer, processor, tmp_path, monkeypatch):
    monkeypatch.setattr("duosent.inference.onnx_files.LARGEST_FILE", 0)
    model, eight = tiny_classifier("text", tokenizer), tmp_path / "eight"
    eight.mkdir()
    assert_graph_of(model, processor, tmp_path, examples=3)
    quantise(tmp_path / ONNX_FILE, eight)
    tower = sum(tensor.nbytes for tensor in model.state_dict().values())
    for folder, smallest in ((tmp_path, 0.8 * tower), (eight, 0.05 * tower)):
        assert (folder / DATA_FILE).stat().st_size > smallest
    inputs = graph_inputs(model, processor)
    graph = OnnxModelForImageTextClassification.from_graph(model.config, inputs, eight / ONNX_FILE)
    assert graph(**{name: random_posts(2, 5, seed=0)[name] for name in inputs}).logits.shape == (2, 3)
