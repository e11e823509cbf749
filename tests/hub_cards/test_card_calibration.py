"""What a card says of scores: the fit of the config, else what an evaluation measured, else that nobody did."""

from made_runs import CONFIG, METRICS, made_run, words

from duosent.hub_cards.card_writer import write_card

FIGURES = {"ece": 0.0612, "ece_equal_mass": 0.05, "brier": 0.2449, "nll": 0.4}
FIT = {
    "n": 1021,
    "num_labels": 2,
    "temperature": 1.499,
    "before": FIGURES,
    "after": FIGURES | {"ece": 0.0349, "brier": 0.2281},
    "sets": {"confidence": 0.9, "coverage": 0.9014, "mean_size": 1.137, "empty": 0.0},
    "abstain": {"accuracy_target": 0.95, "threshold": 0.8051, "coverage": 0.642, "accuracy": 0.9413},
}


def card_of(folder, **files) -> str:
    return words(write_card(made_run(folder, **files))).replace("\n", " ")


def test_a_calibrated_model(tmp_path):
    card = card_of(tmp_path, config=CONFIG | {"calibration": {"split": "validation", "tasks": {"label": FIT}}})
    for part in (
        "Calibration: temperature 1.50, fitted on 1,021 posts (validation). Measured half by half, each with the fit ",
        "of the other: ECE 6.1 %, Brier score 0.245 before, ECE 3.5 %, Brier score 0.228 after.",
        "Label sets of confidence 0.9 hold the true label of 90.1 % of the posts, with 1.14 labels in the mean.",
        "Answers that score 0.81 or more, for a wanted accuracy of 95 %: 64.2 % of the posts, with an accuracy of",
    ):
        assert part in card, part
    assert "15 bins of equal width" in card and "not measured. A score" not in card


def test_several_tasks_and_answers_that_nobody_got(tmp_path):
    fit = FIT | {"abstain": FIT["abstain"] | {"coverage": 0.0, "accuracy": None}}
    stored = {"tasks": {"mood": fit, "wish": {name: FIT[name] for name in ("n", "temperature", "before", "after")}}}
    card = card_of(tmp_path, config=CONFIG | {"calibration": stored})
    assert "Calibration: mood: temperature 1.50, fitted on 1,021 posts (part not recorded)." in card
    assert "0.0 % of the posts, with no accuracy." in card
    assert "Calibration: wish: temperature 1.50" in card and card.count("Label sets of") == 1


def test_scores_that_were_only_measured(tmp_path):
    measured = METRICS | {"calibration": {"bins": 15, "tasks": {"label": {"n": 100, "scores": FIGURES}}}}
    card = card_of(tmp_path, metrics=measured)
    line = "Calibration: no temperature was fitted; ECE 6.1 %, Brier score 0.245 (validation, 100 posts)."
    assert line in card


def test_scores_that_nobody_measured(tmp_path):
    assert "Calibration: not measured." in card_of(tmp_path)
