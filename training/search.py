"""Hyperparameter search with optuna: each trial is a run of its own, and the best options train the last model."""

import dataclasses
import gc
import importlib.util
import logging
import shutil
from pathlib import Path

from transformers.utils import SAFE_WEIGHTS_NAME

from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import CallError, check_output_dir, write_json
from duosent.training.run import RESULT_FILES, TASKS, train

logger = logging.getLogger(__name__)

SEARCH_FILE = "search.json"
# Each option, and between what its logarithm is drawn evenly. The towers are pretrained and move slowly.
TRAINING_SPACE = {
    "learning_rate": (2e-5, 1e-3),
    "text_learning_rate": (5e-6, 1e-4),
    "image_learning_rate": (5e-6, 1e-4),
    "weight_decay": (1e-4, 1e-1),
}
CONFIG_SPACE = {"mdse": {"contrastive_weight": (0.03, 3.0), "contrastive_temperature": (0.02, 0.5)}}


def search(
    model: str,
    data: str,
    args: ImageTextTrainingArguments,
    *,
    trials: int,
    config: dict | None = None,
    evaluate_test: bool = False,
    overwrite: bool = False,
    command: str | None = None,
    **options,
) -> dict:
    """Try options, and train with the best of them into `output_dir`.

    Each trial is a whole run in `output_dir/trials/trial-<number>`, with the seed of `args`, of which all but the
    weights stays. Its value is `metric_for_best_model` of the checkpoint that did best on the validation part. The
    options are chosen out of `TRAINING_SPACE` and `CONFIG_SPACE` by optuna's TPE sampler, with the same seed. What
    `args` or `config` set to another value than the usual one is held, and so is the rate of a tower that is not read
    or not trained.
    A second call goes on where the first one stopped, as `train_series` does.

    Args:
        model, data, args, config, options: as in `train`.
        trials: how many, >= 1.
        evaluate_test: evaluate the last model, and no trial, on the `test` part too.
        overwrite: begin anew, whatever is in `output_dir`.
        command: the command line, for the records.

    Returns: what `metrics.json` holds, with `search` in it: the metric, how many trials, the best one and its options.
        `search.json` has all trials.

    Raises:
        CallError: for an option that cannot be followed, without optuna, and for data without a validation part.
    """
    config = config or {}
    space = search_space(model, args, config)
    _check(args, trials, space)
    import optuna

    metric = args.metric_for_best_model.removeprefix("eval_")
    if metric == ImageTextTrainingArguments.metric_for_best_model:
        metric = TASKS[options.get("task", "classification")].best_figure
    output_dir = Path(args.output_dir)
    check_output_dir(output_dir, overwrite or (output_dir / "trials").is_dir())

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = "minimize" if metric.endswith("loss") else "maximize"
    study = optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=args.seed))
    tried = []
    for number in range(trials):
        trial = study.ask()
        chosen = {name: trial.suggest_float(name, *bounds, log=True) for name, bounds in space.items()}
        folder = output_dir / "trials" / f"trial-{number}"
        logger.info("Trial %d of %d: %s", number + 1, trials, ", ".join(f"{n} {v:.3g}" for n, v in chosen.items()))
        metrics = train(
            model,
            data,
            _with(args, chosen, folder),
            config=config | _of_config(chosen, model),
            continuing=not overwrite,
            overwrite=overwrite,
            command=command,
            **options,
        )
        if not metrics:
            raise CallError(f"A search chooses by the validation part, which {data} does not have.")
        study.tell(trial, metrics[metric])
        tried.append({"trial": number, metric: metrics[metric], "options": chosen})
        if args.process_index == 0:
            _drop_weights(folder)
        gc.collect()  # see `train_series`

    best = tried[study.best_trial.number]
    found = {"metric": metric, "split": "validation", "seed": args.seed, "space": space, "best": best, "trials": tried}
    if args.process_index == 0:
        write_json(output_dir / SEARCH_FILE, found | {"model": model, "data": str(data), "command": command})
    metrics = train(
        model,
        data,
        _with(args, best["options"], output_dir),
        config=config | _of_config(best["options"], model),
        evaluate_test=evaluate_test,
        continuing=not overwrite,
        overwrite=True,  # the trials lie in the folder
        command=command,
        **options,
    )
    metrics |= {"search": {"metric": metric, "trials": trials, "best": best}}
    if args.process_index == 0:
        write_json(output_dir / RESULT_FILES["validation"], metrics)
    return metrics


def search_space(model: str, args: ImageTextTrainingArguments, config: dict) -> dict[str, tuple[float, float]]:
    """The options that a search of this model chooses, each with its smallest and largest value; see `search`."""
    usual = {field.name: field.default for field in dataclasses.fields(args)}
    still = {"text_learning_rate": ("image", "freeze_text"), "image_learning_rate": ("text", "freeze_image")}
    space = {}
    for name, bounds in TRAINING_SPACE.items():
        other_model, freeze = still.get(name, (None, None))
        if getattr(args, name) == usual[name] and model != other_model and not config.get(freeze):
            space[name] = bounds
    if config.get("contrastive_weight") == 0:  # no loss that a temperature could sharpen
        return space
    return space | {name: bounds for name, bounds in CONFIG_SPACE.get(model, {}).items() if name not in config}


def _check(args: ImageTextTrainingArguments, trials: int, space: dict) -> None:
    if importlib.util.find_spec("optuna") is None:
        raise CallError('A search needs optuna, which is not installed: pip install "duosent[search]".')
    if trials < 1:
        raise CallError(f"search must be >= 1 trials, got {trials}.")
    if args.resume_from_checkpoint is not None:
        raise CallError("resume_from_checkpoint must not be given beside search, which goes on by itself.")
    if args.metric_for_best_model is None:
        raise CallError("metric_for_best_model must be given for a search, got None.")
    if not space:
        raise CallError("A search must have something to choose, but every option of its space was given.")


def _with(args: ImageTextTrainingArguments, chosen: dict, folder: Path) -> ImageTextTrainingArguments:
    own = {name: value for name, value in chosen.items() if name in TRAINING_SPACE}
    return dataclasses.replace(args, output_dir=str(folder), **own)


def _of_config(chosen: dict, model: str) -> dict:
    return {name: value for name, value in chosen.items() if name in CONFIG_SPACE.get(model, {})}


def _drop_weights(folder: Path) -> None:
    (folder / SAFE_WEIGHTS_NAME).unlink(missing_ok=True)
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


__all__ = ["SEARCH_FILE", "search", "search_space"]
