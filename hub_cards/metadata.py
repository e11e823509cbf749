"""What the Hub reads of a card: its YAML."""

import re

from huggingface_hub import EvalResult, ModelCardData

from duosent.hub_cards.card_facts import WORD
from duosent.hub_cards.plain_text import cleaned
from duosent.hub_cards.run_files import RunFiles

# Figures by the Hub's names of metrics, with what tells those of one name apart.
METRICS = {
    "accuracy": ("accuracy", None),
    "macro_f1": ("f1", {"average": "macro"}),
    "weighted_f1": ("f1", {"average": "weighted"}),
}


def model_card_data(run: RunFiles, name: str) -> ModelCardData:
    """
    Args:
        name: of the model, without its owner.
    """
    results = eval_results(run)
    license_fields = license_of(run.facts.license)
    relation = {"base_model_relation": "adapter" if run.adapter else "finetune"} if run.base_models else {}
    widget = [
        {
            "text": cleaned(example["text"]),
            "output": [
                {"label": cleaned(label), "score": round(score, 4)}
                for label, score in sorted(example["scores"].items(), key=lambda pair: -pair[1])
            ],
        }
        for example in run.facts.examples or ()
    ]
    return ModelCardData(
        **license_fields,
        language=run.facts.languages,
        # The Hub then shows the calls of transformers, with trust_remote_code where the config has an auto_map.
        # Adapters are read by duosent alone.
        library_name="transformers",
        pipeline_tag=pipeline_tag(run),
        tags=tags(run),
        datasets=run.datasets or None,
        base_model=run.base_models or None,
        # Two base models would pass for a merge.
        **relation,
        metrics=["accuracy"] if run.answers_questions else ["accuracy", "f1"],
        **({"widget": widget} if widget else {}),
        model_name=cleaned(name) if results else None,
        eval_results=results or None,
    )


def license_of(license: str | None) -> dict:
    """The fields of a licence: a word is taken for the Hub's name of it, all else is `other` with a name."""
    if license is None:
        return {"license": "other", "license_name": "not-stated"}
    if WORD.fullmatch(license):
        return {"license": license.lower()}
    name = re.sub(r"[^a-z0-9.]+", "-", license.lower())[:100].strip("-.")
    return {"license": "other", "license_name": name or "stated-in-the-card"}


def pipeline_tag(run: RunFiles) -> str:
    """The Hub has no name for reading words and picture together but that of questions about pictures."""
    if run.answers_questions:
        return "visual-question-answering"
    return "text-classification" if run.reads_text else "image-classification"


def tags(run: RunFiles) -> list[str]:
    kind = "visual-question-answering" if run.answers_questions else "image-text-classification"
    sides = ["multimodal"] if run.reads_text and run.reads_image else []
    own = ["duosent", run.config["model_type"].replace("_", "-")]
    return [kind, *sides, *own, *(["lora"] if run.adapter else []), *(run.facts.tags or [])]


def eval_results(run: RunFiles) -> list[EvalResult]:
    """Every figure of every evaluation; those of a task stand under its name as a configuration of the data."""
    found = []
    for figures in run.evaluations:
        for task, of_task in (figures.get("tasks") or {None: figures}).items():
            found += [
                _eval_result(run, figures, task, name, of_task[name])
                for name in METRICS
                if of_task.get(name) is not None
            ]
    return found


def _eval_result(run: RunFiles, figures: dict, task: str | None, name: str, value: float) -> EvalResult:
    data = figures.get("data", run.run.get("data"))
    data_name = cleaned(run.data_name(data) or "not recorded")
    on_hub = run.datasets and data in (None, run.run.get("data"))
    metric, options = METRICS[name]
    return EvalResult(
        task_type=pipeline_tag(run),
        task_name="visual question answering" if run.answers_questions else "image-text classification",
        dataset_type=run.datasets[0] if on_hub else re.sub(r"[^\w.-]+", "-", data_name),
        dataset_name=data_name,
        dataset_config=task and cleaned(task),
        dataset_split=cleaned(figures["split"]) if "split" in figures else None,
        dataset_args={"fingerprint": figures["fingerprint"]} if "fingerprint" in figures else None,
        metric_type=metric,
        metric_name=name.replace("_f1", " F1"),
        metric_value=round(value, 6),
        metric_args=options,
    )


__all__ = ["model_card_data"]
