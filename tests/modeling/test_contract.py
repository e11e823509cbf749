"""What every model of the package must hold, for any input."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import TEXT, build, make_batch, take
from torch.testing import assert_close
from transformers import AutoModel, AutoModelForSequenceClassification

import duosent


class ModelContract:
    model_class = None
    config: dict = {}

    def model(self, **config):
        return build(self.model_class, **{**self.config, **config})

    @torch.no_grad()
    def test_padding_changes_nothing(self):
        model, batch = self.model(), make_batch()
        padded = {
            **batch,
            "input_ids": torch.nn.functional.pad(batch["input_ids"], (0, 9), value=7),
            "attention_mask": torch.nn.functional.pad(batch["attention_mask"], (0, 9)),
        }
        assert_close(model(**padded).logits, model(**batch).logits)
        assert_close(model(**padded).loss, model(**batch).loss)

    @torch.no_grad()
    def test_what_stands_in_the_padding_does_not_matter(self):
        model, batch = self.model(), make_batch()
        other = {**batch, "input_ids": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, 33)}
        assert_close(model(**other).logits, model(**batch).logits)

    @torch.no_grad()
    def test_rows_do_not_see_each_other(self):
        model, batch = self.model(), make_batch()
        batch["image_present"][2] = False
        together = model(**batch).logits
        for row in range(4):
            assert_close(model(**take(batch, [row])).logits, together[[row]], atol=2e-5, rtol=1e-4)

    @torch.no_grad()
    @given(order=st.permutations(range(4)))
    def test_order_of_the_batch_does_not_matter(self, order):
        model, batch = self.model(), make_batch()
        batch["text_present"][0] = False
        before, after = model(**batch), model(**take(batch, list(order)))
        assert_close(after.logits, before.logits[list(order)], atol=2e-5, rtol=1e-4)
        assert_close(after.loss, before.loss, atol=2e-5, rtol=1e-4)

    @pytest.mark.parametrize("side", ["text", "image"])
    @torch.no_grad()
    def test_an_absent_side_is_not_read(self, side):
        model, batch = self.model(), make_batch()
        batch[f"{side}_present"][1] = False
        other = {key: value.clone() for key, value in batch.items()}
        if side == "text":
            other["input_ids"][1] = 11
            other["attention_mask"][1] = 0
        else:
            other["pixel_values"][1] = 3.0
        assert_close(model(**other).logits, model(**batch).logits)

    @pytest.mark.parametrize("side", ["text", "image"])
    @torch.no_grad()
    def test_a_batch_without_a_side_equals_rows_without_it(self, side):
        model, batch = self.model(), make_batch()
        batch[f"{side}_present"][:] = False
        names = ("input_ids", "attention_mask") if side == "text" else ("pixel_values",)
        without = {key: value for key, value in batch.items() if key not in names}
        assert_close(model(**without).logits, model(**batch).logits, atol=2e-5, rtol=1e-4)
        assert_close(model(**without).loss, model(**batch).loss, atol=2e-5, rtol=1e-4)

    def test_no_side_at_all_is_refused(self):
        with pytest.raises(ValueError, match="input_ids or pixel_values must be given"):
            self.model()(labels=torch.tensor([0]))

    @pytest.mark.parametrize("absent", [(), ("text",), ("image",)])
    def test_every_parameter_gets_a_gradient(self, absent):
        model, batch = self.model().train(), make_batch()
        for side in absent:
            batch[f"{side}_present"][0] = False
        model(**batch).loss.backward()
        without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
        assert not without
        broken = [name for name, parameter in model.named_parameters() if not parameter.grad.isfinite().all()]
        assert not broken

    def test_a_row_of_nothing_but_padding_gives_no_nan(self):
        model, batch = self.model(attn_implementation="eager"), make_batch()
        batch["attention_mask"][2] = 0
        masks = []
        model.base_model.text_model.register_forward_pre_hook(
            lambda module, inputs, keywords: masks.append(keywords["attention_mask"]), with_kwargs=True
        )
        loss = model(**batch).loss
        loss.backward()
        # BERT forgives a row without a key; a tower that writes -inf does not.
        assert masks[0].any(dim=-1).all()
        assert loss.isfinite()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)

    @torch.no_grad()
    def test_save_and_load_give_the_same_logits(self, tmp_path):
        model, batch = self.model(), make_batch()
        model.save_pretrained(tmp_path)
        again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
        assert type(again) is self.model_class
        assert torch.equal(again(**batch).logits, model(**batch).logits)
        other = duosent.AutoModelForImageTextClassification.from_pretrained(tmp_path)
        assert torch.equal(other(**batch).logits, model(**batch).logits)

    @torch.no_grad()
    def test_tensors_are_saved_under_the_names_they_have(self, tmp_path):
        """Trainer's resume reads them back by name; a renamed tensor would be lost without a word."""
        from safetensors.torch import load_file

        model = self.model()
        model.save_pretrained(tmp_path)
        assert set(load_file(tmp_path / "model.safetensors")) == set(model.state_dict())

    @torch.no_grad()
    def test_eager_and_sdpa_agree(self):
        batch = make_batch()
        batch["image_present"][3] = False
        logits = {}
        for implementation in ("eager", "sdpa"):
            model = self.model(attn_implementation=implementation)
            assert model.config._attn_implementation == implementation
            logits[implementation] = model(**batch).logits
        assert_close(logits["eager"], logits["sdpa"], atol=2e-5, rtol=1e-4)

    @torch.no_grad()
    def test_the_attention_of_a_model_in_use_can_be_changed(self):
        model = self.model(attn_implementation="sdpa")
        model.set_attn_implementation("eager")
        assert {part.config._attn_implementation for part in model.modules() if hasattr(part, "config")} == {"eager"}
        expected = self.model(attn_implementation="eager")(**make_batch()).logits
        assert torch.equal(model(**make_batch()).logits, expected)

    def test_gradient_checkpointing_gives_the_same_gradients(self):
        batch, gradients = make_batch(), []
        for checkpointing in (False, True):
            model = self.model().train()
            for module in model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
                if isinstance(getattr(module, "dropout", None), float):
                    module.dropout = 0.0
                if isinstance(getattr(module, "dropout_prob", None), float):
                    module.dropout_prob = 0.0
            if checkpointing:
                model.activation_checkpointing_enable()
            model(**batch).loss.backward()
            gradients.append([parameter.grad for parameter in model.parameters()])
        for plain, checkpointed in zip(*gradients, strict=True):
            assert_close(checkpointed, plain, atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, dtype):
        batch = make_batch()
        exact = self.model()(**batch).logits
        output = self.model(dtype=dtype)(**batch)
        output.loss.backward()
        assert output.logits.dtype == dtype
        assert_close(output.logits.float(), exact, atol=0.25, rtol=0.25)

    def test_autocast(self):
        model, batch = self.model(), make_batch()
        exact = model(**batch).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = model(**batch)
        output.loss.backward()
        assert_close(output.logits.float(), exact, atol=0.25, rtol=0.25)

    @pytest.mark.parametrize("side", ["text", "image"])
    def test_a_frozen_tower_stands_still(self, side, tmp_path):
        model = self.model(**{f"freeze_{side}": True})
        model.save_pretrained(tmp_path)
        tower = {"text": "text_model", "image": "vision_model"}[side]
        for frozen in (model, self.model_class.from_pretrained(tmp_path)):
            frozen.train()
            assert not getattr(frozen.base_model, tower).training
            assert not any(p.requires_grad for p in getattr(frozen.base_model, tower).parameters())
            frozen(**make_batch()).loss.backward()
            trained = [p for p in frozen.parameters() if p.requires_grad]
            assert trained and all(p.grad is not None for p in trained)

    @torch.no_grad()
    def test_from_encoders_takes_the_towers_as_they_are(self, text_encoder_dir, image_encoder_dir):
        model = self.model_class.from_encoders(text_encoder_dir, image_encoder_dir, **{**self.config, "num_labels": 4})
        batch = make_batch()
        text = AutoModel.from_pretrained(text_encoder_dir)
        expected = text(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        tower = model.eval().base_model.text_model
        assert_close(tower(batch["input_ids"], batch["attention_mask"]).last_hidden_state, expected)
        picture = AutoModel.from_pretrained(image_encoder_dir)(batch["pixel_values"]).last_hidden_state
        assert_close(model.base_model.vision_model(batch["pixel_values"]).last_hidden_state, picture)
        assert model(**batch).logits.shape == (4, 4)

    def test_several_labels_a_post(self):
        model, batch = self.model(problem_type="multi_label_classification"), make_batch()
        batch["labels"] = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 0, 1], [-100, -100, -100]])
        output = model(**batch)
        x, y = output.logits[:3].double(), batch["labels"][:3].double()
        by_hand = -(y * x.sigmoid().log() + (1 - y) * (-x).sigmoid().log()).mean()
        assert_close(output.classification_loss.double(), by_hand, atol=1e-6, rtol=1e-5)
        output.loss.backward()

    def test_posts_without_a_label_do_not_train(self):
        model, batch = self.model(), make_batch()
        batch["labels"][:] = -100
        output = model(**batch)
        assert output.loss == 0
        output.loss.backward()
        assert all((p.grad == 0).all() for p in model.parameters())

    @pytest.mark.slow
    def test_compiled_logits_are_the_same(self):
        model, batch = self.model(), make_batch()
        batch["image_present"][1] = False
        compiled = torch.compile(model)
        with torch.no_grad():
            assert_close(compiled(**batch).logits, model(**batch).logits, atol=2e-5, rtol=1e-4)
        compiled(**batch).loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())


class TestMdse(ModelContract):
    model_class = duosent.MdseForImageTextClassification
    config = {"hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 24}


class TestRadm(ModelContract):
    model_class = duosent.RadmForImageTextClassification
    config = {"hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 24}


@pytest.mark.usefixtures("without_maps")
class TestRadmWithoutMaps(TestRadm):
    pass


class TestConcat(ModelContract):
    model_class = duosent.BaselineForImageTextClassification


class TestTfn(ModelContract):
    model_class = duosent.TfnForImageTextClassification


class TestLmf(ModelContract):
    model_class = duosent.LmfForImageTextClassification


class TestClmlf(ModelContract):
    model_class = duosent.ClmlfForImageTextClassification
    config = {"num_text_layers": 1, "num_image_layers": 1, "num_fusion_layers": 2}


class TestTombert(ModelContract):
    """A token in the middle of the batch's words is the separator: some posts have a target, the others have none."""

    model_class = duosent.TombertForImageTextClassification

    def model(self, **config):
        separator = make_batch()["input_ids"][0, 2].item()
        return super().model(**{"text_config": {**TEXT, "sep_token_id": separator}, **config})

    def test_the_batch_has_posts_with_and_without_a_target(self):
        batch = make_batch()
        found = self.model().find_target(batch["input_ids"], batch["attention_mask"]).any(dim=-1)
        assert found.any() and not found.all()
