"""How far the maps of a model can be trusted, as tables for people."""

from duosent.tables import text_table


def check_tables(report: dict) -> str:
    """What `duosent explain --check` found."""
    maps = report["maps"]
    if not maps:
        return "No map of the model could be checked on these posts."
    figures, gains, words = [], [], []
    for entry in maps:
        name = f"{entry['map']}, {entry['side']}"
        likeness, pointing = entry["likeness"], entry["pointing"]
        figures.append(
            [
                name,
                *entry["figures"].values(),
                "" if likeness is None else likeness["mean"],
                "" if pointing is None else f"{pointing['hits']:.2f} ({pointing['chance']:.2f})",
                "yes" if entry["trusted"] else "no",
            ]
        )
        for control, of in entry["gains"].items():
            gains.append([f"{name}, over {control}", *(_with_interval(of[figure]) for figure in entry["figures"])])
        if not entry["trusted"]:
            words.append(f"{name}: {' '.join(entry['why'])}")
    header = ["deletion", "insertion", "comprehensiveness", "sufficiency"]
    tables = [
        text_table([f"{report['n']} posts", *header, "like random weights", "hits (chance)", "trusted"], figures),
        text_table(["better by (95 % interval)", *header], gains),
        "Small is good for deletion and sufficiency; in the second table large is good throughout.",
    ]
    if words:
        tables.append("Not to be trusted:\n" + "\n".join(f"  {line}" for line in words))
    if report["rejected"]:
        tables.append(f"{len(report['rejected'])} posts could not be read.")
    return "\n\n".join(tables)


def _with_interval(gain: dict) -> str:
    return f"{gain['mean']:+.3f} ({gain['low']:+.3f}, {gain['high']:+.3f})"


__all__ = ["check_tables"]
