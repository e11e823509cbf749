"""Which layers FSDP shards each for itself."""

from transformers import PreTrainedModel


def fsdp_units(model: PreTrainedModel) -> list[str]:
    """The names of the classes that a model must not split, without those around its input embeddings.

    Accelerate shards the input embeddings by themselves, and what is sharded twice fails: BERT and RoBERTa, which name
    the whole of their embeddings too, could not be trained.
    """
    embeddings = model.get_input_embeddings()
    around = {type(module).__name__ for module in model.modules() if any(p is embeddings for p in module.modules())}
    return sorted(set(model._no_split_modules) - around)


__all__ = ["fsdp_units"]
