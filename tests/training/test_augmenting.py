"""Only what is trained on is augmented, in the same way whoever makes the batches; see also `test_resume_is_exact`."""

import pytest
import torch
from transformers import TrainerState

from duosent.processing import wordnet_files
from duosent.processing.augmentation import PictureAugmentation
from duosent.processing.collator import ImageTextCollator
from duosent.processing.synonyms import SynonymReplacement
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.augmenting import augmenting
from duosent.training.epochs import EpochTeller
from duosent.training.trainer import ImageTextTrainer

EPOCHS = 2


@pytest.fixture
def arguments(tmp_path, wordnet_dir):
    """A maker of arguments under which every post that can change changes."""

    def make(folder="run", **options) -> ImageTextTrainingArguments:
        all_on = {"augment_crop": 0.3, "augment_erasing": 1.0, "augment_synonyms": 1.0, "wordnet_dir": wordnet_dir}
        usual = {
            "per_device_train_batch_size": 2,
            "per_device_eval_batch_size": 2,
            "num_train_epochs": EPOCHS,
            "eval_strategy": "no",
            "save_strategy": "no",
            "load_best_model_at_end": False,
            "disable_tqdm": True,
            "use_cpu": True,
        }
        return ImageTextTrainingArguments(str(tmp_path / folder), **{"augment": True, **usual, **all_on, **options})

    return make


@pytest.fixture
def trainer_of(tiny_mdse, rows, processor, arguments):
    def make(**options) -> ImageTextTrainer:
        return ImageTextTrainer(tiny_mdse(), arguments(**options), ImageTextCollator(processor), rows, rows)

    return make


def equal(first: list[dict], second: list[dict]) -> bool:
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        for a, b in zip(first, second, strict=True)
    )


def trained_batches(trainer: ImageTextTrainer) -> list[dict]:
    """What the model was trained on, batch by batch."""
    batches = []
    trainer.model.register_forward_pre_hook(
        lambda module, args, inputs: batches.append({name: value.clone() for name, value in inputs.items()}),
        with_kwargs=True,
    )
    trainer.train()
    return batches


def posts(batches: list[dict]) -> list[tuple]:
    """Picture, words and label of each post, in an order that is the same for any shuffling."""
    return sorted(
        (batch["pixel_values"][i].numpy().tobytes(), batch["input_ids"][i].tolist(), batch["labels"][i].item())
        for batch in batches
        for i in range(len(batch["labels"]))
    )


def test_batches_are_the_same_from_any_number_of_processes(trainer_of, rows, processor, arguments):
    batches = trained_batches(trainer_of())
    assert len(batches) == 4 * EPOCHS
    # Persistent workers get the collator once, before the first epoch.
    options = {"dataloader_num_workers": 2, "dataloader_persistent_workers": True}
    assert equal(trained_batches(trainer_of(**options)), batches)

    expected = augmenting(ImageTextCollator(processor), arguments())
    for epoch in range(EPOCHS):
        expected.set_epoch(epoch)
        assert posts(batches[4 * epoch : 4 * epoch + 4]) == posts([expected(list(rows))])


def test_only_training_posts_are_augmented(trainer_of, rows):
    augmented, plain = trainer_of(), trainer_of(augment=False)
    for loaders in (
        (augmented.get_eval_dataloader(), plain.get_eval_dataloader()),
        (augmented.get_test_dataloader(rows), plain.get_test_dataloader(rows)),
    ):
        assert equal(*(list(loader) for loader in loaders))
    trained = [posts(list(trainer.get_train_dataloader())) for trainer in (augmented, plain)]
    assert trained[0] != trained[1]
    assert trained[1] == posts(list(plain.get_eval_dataloader()))
    assert equal(list(augmented.get_eval_dataloader()), list(plain.get_eval_dataloader()))  # after training too


def test_the_figures_of_an_evaluation_do_not_change(trainer_of):
    with_it, without = (trainer_of(augment=augment).evaluate() for augment in (True, False))
    for name in ("eval_loss", "eval_contrastive_loss", "eval_macro_f1", "eval_accuracy"):
        assert with_it[name] == without[name]


def test_each_augmentation_has_a_switch(processor, arguments):
    collator = augmenting(ImageTextCollator(processor), arguments(augment_flip=0.0, augment_synonyms=0.0))
    assert (collator.pictures.flip, collator.pictures.crop, collator.pictures.erasing) == (0, 0.3, 1)
    assert collator.words is None
    collator = augmenting(ImageTextCollator(processor), arguments(augment_crop=0.0, augment_erasing=0.0))
    assert (collator.pictures.flip, collator.pictures.crop, collator.pictures.erasing) == (0.5, 0, 0)
    assert collator.words.rate == 1


def test_flags_and_classes_have_the_same_defaults(processor, tmp_path, wordnet_dir):
    args = ImageTextTrainingArguments(str(tmp_path), wordnet_dir=wordnet_dir)
    collator = augmenting(ImageTextCollator(processor), args)
    assert collator.pictures == PictureAugmentation()
    assert collator.words == SynonymReplacement(wordnet_dir=wordnet_dir)


def test_the_seed_is_that_of_the_data(processor, arguments):
    assert augmenting(ImageTextCollator(processor), arguments(seed=4)).seed == 4
    assert augmenting(ImageTextCollator(processor), arguments(seed=4, data_seed=9)).seed == 9


def test_a_run_resumed_within_an_epoch_is_in_that_epoch(processor, arguments, rows):
    args = arguments()
    resumed, expected = (augmenting(ImageTextCollator(processor), args) for _ in range(2))
    EpochTeller(resumed).on_epoch_begin(args, TrainerState(epoch=2.75), None)
    expected.set_epoch(2)
    assert equal([resumed(list(rows))], [expected(list(rows))])


def test_the_saved_processor_knows_nothing_of_it(trainer_of, tmp_path):
    saved = []
    for folder, augment in (("with", True), ("without", False)):
        trainer = trainer_of(folder=folder, augment=augment)
        trainer.save_model()
        files = [file for file in sorted((tmp_path / folder).iterdir()) if file.name != "arguments.json"]
        saved.append({file.name: file.read_bytes() for file in files})
    assert saved[0] == saved[1] and "processor_config.json" in saved[0]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("augment_flip", 1.5, "augment_flip must lie in [0, 1], got 1.5."),
        ("augment_crop", 0.75, "augment_crop must lie in [0, 0.5], got 0.75."),
        ("augment_erasing", -0.5, "augment_erasing must lie in [0, 1], got -0.5."),
        ("augment_synonyms", float("nan"), "augment_synonyms must lie in [0, 1], got nan."),
        ("wordnet_dir", "/none", "wordnet_dir must be a folder with WordNet's files, got /none, without data.noun."),
    ],
)
def test_a_bad_argument_is_named(arguments, option, value, message):
    with pytest.raises(ValueError) as error:
        arguments(**{option: value})
    assert str(error.value) == message


def test_missing_files_are_told_at_once_and_only_where_they_are_needed(arguments, monkeypatch):
    def missing(folder):
        raise ValueError("no WordNet")

    monkeypatch.setattr("duosent.training.arguments.find_wordnet", missing)
    assert wordnet_files.find_wordnet is not missing
    with pytest.raises(ValueError, match="no WordNet"):
        arguments()
    arguments(augment_synonyms=0.0)
    arguments(augment=False)
