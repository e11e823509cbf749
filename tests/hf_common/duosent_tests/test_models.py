"""transformers' common model and configuration tests over the models of duosent."""

import copy
import json
import unittest

import torch
from transformers.testing_utils import torch_device

import duosent

from ..test_configuration_common import ConfigTester
from ..test_modeling_common import ModelTesterMixin, floats_tensor, ids_tensor, random_attention_mask

TEXT = {
    "model_type": "bert",
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 64,
}
IMAGE = {
    "model_type": "vit",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "image_size": 30,
    "patch_size": 10,
}


def as_saved(fields: dict) -> dict:
    """A text tower's config in the form that it has inside a saved one."""
    return json.loads(duosent.BaselineConfig(text_config=fields).to_json_string())["text_config"]


class TowerTester:
    """What a tower of the tested models has; `get_text_features` and `get_image_features` are compared with it."""

    def __init__(self, inputs: dict):
        self.inputs = inputs
        self.num_hidden_layers = 2

    def prepare_config_and_inputs_for_common(self):
        return None, copy.deepcopy(self.inputs)


class ModelTester:
    """What the common tests ask of a model's tester: sizes, a config and inputs."""

    batch_size, seq_length, num_channels, image_size, patches = 5, 7, 3, 30, 9
    hidden_size, num_attention_heads, num_labels = 32, 4, 3
    num_hidden_layers = 2  # of each tower
    is_training = True

    def __init__(self, parent, config_class, **config):
        self.parent = parent
        self.config_class = config_class
        self.config = config
        inputs = self.make_inputs()
        pixel_values = inputs.pop("pixel_values")
        self.text_model_tester = TowerTester(inputs)
        self.vision_model_tester = TowerTester({"pixel_values": pixel_values})

    def get_config(self):
        return self.config_class(
            text_config=copy.deepcopy(TEXT),
            vision_config=copy.deepcopy(IMAGE),
            hidden_size=self.hidden_size,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=37,
            num_labels=self.num_labels,
            **self.config,
        )

    def make_inputs(self):
        return {
            "input_ids": ids_tensor([self.batch_size, self.seq_length], TEXT["vocab_size"]),
            "attention_mask": random_attention_mask([self.batch_size, self.seq_length]),
            "pixel_values": floats_tensor([self.batch_size, self.num_channels, self.image_size, self.image_size]),
        }

    def prepare_config_and_inputs_for_common(self):
        return self.get_config(), self.make_inputs()


class CommonTests(ModelTesterMixin):
    config_class = None
    config: dict = {}
    common_properties = ("hidden_size", "num_attention_heads", "intermediate_size")
    config_inputs: dict = {}
    # The words' embeddings belong to the text tower and are resized there; a head over them does not exist.
    test_resize_embeddings = False
    _is_composite = True

    def setUp(self):
        self.model_tester = ModelTester(self, self.config_class, **self.config)
        self.config_tester = ConfigTester(
            self,
            config_class=self.config_class,
            has_text_modality=False,
            common_properties=list(self.common_properties),
            **self.config_inputs,
        )

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs_dict = super()._prepare_for_class(inputs_dict, model_class, return_labels=False)
        if return_labels and "For" in model_class.__name__:
            shape = (self.model_tester.batch_size,)
            if "VisualQuestionAnswering" in model_class.__name__:
                inputs_dict["labels"] = torch.zeros(*shape, self.model_tester.num_labels, device=torch_device)
            else:
                inputs_dict["labels"] = torch.zeros(*shape, dtype=torch.long, device=torch_device)
        return inputs_dict

    def test_config(self):
        self.config_tester.run_common_tests(can_init_without_params=not self.config_inputs)

    # A base model has no loss: transformers leaves its own out by name, and these names it does not know.
    def test_training(self):
        self.all_model_classes = [c for c in self.all_model_classes if "For" in c.__name__]
        super().test_training()

    def check_training_gradient_checkpointing(self, gradient_checkpointing_kwargs=None):
        self.all_model_classes = [c for c in self.all_model_classes if "For" in c.__name__]
        super().check_training_gradient_checkpointing(gradient_checkpointing_kwargs)

    @unittest.skip(
        "tensors are saved under their own names: Trainer's resume loses renamed ones (save_original_format=False)"
    )
    def test_reverse_loading_mapping(self):
        pass

    @unittest.skip("inputs_embeds belongs to the text tower; the models take input_ids")
    def test_inputs_embeds(self):
        pass

    @unittest.skip("inputs_embeds belongs to the text tower; the models take input_ids")
    def test_inputs_embeds_matches_input_ids(self):
        pass


class MdseTest(CommonTests, unittest.TestCase):
    config_class = duosent.MdseConfig
    all_model_classes = (duosent.MdseModel, duosent.MdseForImageTextClassification)

    def setUp(self):
        super().setUp()
        self.model_tester.expected_num_hidden_layers = 6  # both sides: tokens, shared, private

    def test_attention_outputs(self):
        self.model_tester.num_hidden_layers = 4  # maps
        self.model_tester.key_length = self.model_tester.patches  # the first one is words over patches
        super().test_attention_outputs()


class RadmTest(CommonTests, unittest.TestCase):
    config_class = duosent.RadmConfig
    config = {"num_interaction_layers": 2, "num_fusion_layers": 2}
    all_model_classes = (
        duosent.RadmModel,
        duosent.RadmForImageTextClassification,
        duosent.RadmForVisualQuestionAnswering,
    )

    def setUp(self):
        super().setUp()
        self.model_tester.expected_num_hidden_layers = 5  # before the first layer, after each of four
        tester = self.model_tester
        tester.encoder_seq_length = tester.seq_length + tester.patches + 1  # both sequences, class token included

    def test_attention_outputs(self):
        self.model_tester.num_hidden_layers = 2 * 4 + 2  # maps; the first one is words over words
        self.model_tester.encoder_seq_length = self.model_tester.seq_length
        super().test_attention_outputs()


class BaselineTest(CommonTests, unittest.TestCase):
    config_class = duosent.BaselineConfig
    config_inputs = {"text_config": as_saved(TEXT)}
    all_model_classes = (duosent.BaselineForImageTextClassification,)
    has_attentions = False

    @unittest.skip("the baselines have no layers between towers and classifier")
    def test_hidden_states_output(self):
        pass

    @unittest.skip("the baselines have no layers between towers and classifier")
    def test_retain_grad_hidden_states_attentions(self):
        pass


class FusionBaselineTests(CommonTests):
    """The baselines of other papers: no maps, no hidden states."""

    has_attentions = False

    @unittest.skip("the baselines give no hidden states")
    def test_hidden_states_output(self):
        pass

    @unittest.skip("the baselines give no hidden states")
    def test_retain_grad_hidden_states_attentions(self):
        pass


class TfnTest(FusionBaselineTests, unittest.TestCase):
    config_class = duosent.TfnConfig
    all_model_classes = (duosent.TfnForImageTextClassification,)


class LmfTest(FusionBaselineTests, unittest.TestCase):
    config_class = duosent.LmfConfig
    all_model_classes = (duosent.LmfForImageTextClassification,)


class ClmlfTest(FusionBaselineTests, unittest.TestCase):
    config_class = duosent.ClmlfConfig
    all_model_classes = (duosent.ClmlfForImageTextClassification,)


class TombertTest(FusionBaselineTests, unittest.TestCase):
    config_class = duosent.TombertConfig
    all_model_classes = (duosent.TombertForImageTextClassification,)
