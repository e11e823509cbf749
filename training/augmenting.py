"""The training posts of an `ImageTextTrainer`, augmented."""

from duosent.processing.augmentation import AugmentingCollator, PictureAugmentation
from duosent.processing.synonyms import SynonymReplacement
from duosent.training.arguments import ImageTextTrainingArguments


def augmenting(collator, args: ImageTextTrainingArguments) -> AugmentingCollator:
    """The collator with the augmentation that the arguments ask for, drawn by `data_seed`, or else `seed`.

    Raises: as `SynonymReplacement`.
    """
    synonyms = args.augment_synonyms and SynonymReplacement(args.augment_synonyms, args.wordnet_dir)
    return AugmentingCollator(
        collator,
        PictureAugmentation(args.augment_flip, args.augment_crop, args.augment_erasing),
        synonyms or None,
        seed=args.seed_of_draws,
    )


__all__ = ["augmenting"]
