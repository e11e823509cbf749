"""The page: a picture and words in, the scores of every label out, and what a score rests on."""

import base64
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
from example_posts import example_posts
from heat import colour_picture, colour_words
from occlusion import Occlusion, by_label, occlude, score_of, shrunk

# Seconds after which what a visitor sent is deleted.
KEPT = 3600
MOST_CHARACTERS = 20_000
LEGEND = (
    "Each cell of the picture and each word is hidden in turn. **Blue**: without it the score falls, which rests on "
    "it. **Orange**: without it the score rises, it speaks against this label. (By log-odds; the "
    "strongest colour is that of the strongest cell, and of the strongest word.)"
)
# Of the picture with the colours, in pixels.
SHOWN_SIDE = 640
# Gradio puts a visitor's own in its place.
PROGRESS = gr.Progress()
# One post after the other: the model has the whole machine for each.
QUEUE = {"concurrency_limit": 1, "concurrency_id": "model"}


def build_page(classify, name: str) -> gr.Blocks:
    """
    Args:
        classify: the pipeline, made with `allow_paths=False`.
        name: of the model, as people see it.
    """
    tasks = list(classify.model.config.tasks or [None])

    def answer(words: str, picture: str | None, target: str, progress: gr.Progress = PROGRESS) -> Iterator[tuple]:
        yield from answers(classify, words, picture, target, progress)

    def answer_program(text: str = "", image: str = "", target: str = "", top_k: int = 1) -> dict | list:
        post = read(classify, {"text": text, "image": image, "target": target}, "image")
        with told():
            return classify(post, top_k=top_k)

    with gr.Blocks(title=f"duosent: {name}", delete_cache=(KEPT, KEPT), analytics_enabled=False) as page:
        gr.Markdown(
            f"# What does its author feel?\nA picture, the words beside it, or one of the two, read by `{name}`."
        )
        with gr.Row():
            with gr.Column():
                picture = picture_as_sent(label="Picture", sources=["upload", "clipboard"], height=280)
                words = gr.Textbox(label="Words", lines=3, max_length=MOST_CHARACTERS, placeholder="What a day")
                target = gr.Textbox(
                    label="Target",
                    info="Whom or what it is about; takes the place of $T$ in the words.",
                    max_length=MOST_CHARACTERS,
                    visible=classify.model.config.model_type == "tombert",
                )
                with gr.Row():
                    clear = gr.ClearButton(value="Clear")
                    ask = gr.Button("Ask", variant="primary")
            with gr.Column():
                bars = [gr.Label(label=(task or "Answer").capitalize()) for task in tasks]
                chosen = gr.Dropdown([], label="What this rests on", interactive=True)
                sides = gr.Markdown(elem_id="sides")
        with gr.Row():
            heat = gr.Image(
                label="In the picture",
                interactive=False,
                height=320,
                buttons=["fullscreen"],
                elem_id="heat",
                format="png",
            )
            with gr.Column():
                marked = gr.HTML(
                    label="In the words", container=True, show_label=True, min_height=120, elem_id="marked"
                )
                gr.Markdown(LEGEND)
        found = gr.State(time_to_live=KEPT)
        given, explained = [words, picture, target], [sides, heat, marked]
        answered = [*bars, chosen, found, *explained]
        clear.add([*given, *answered])
        gr.on(
            [ask.click, words.submit],
            answer,
            given,
            answered,
            show_progress_on=[bars[0], heat, marked],
            api_visibility="private",
            **QUEUE,
        )
        chosen.input(explanation, [found, chosen], explained, api_visibility="private")
        gr.api(answer_program, api_name="classify", **QUEUE)
        with tempfile.TemporaryDirectory() as folder:  # Gradio keeps copies
            gr.Examples([list(post) for post in example_posts(Path(folder))], [words, picture], label="Try")
    return page


def picture_as_sent(**options) -> gr.Image:
    """It hands over the path of whatever was sent; whether that is a picture, the pipeline says."""
    picture = gr.Image(**options)
    picture.preprocess = lambda sent: None if sent is None else sent.path
    return picture


def answers(classify, words: str, picture: str | None, target: str, progress: Callable) -> Iterator[tuple]:
    """The page's outputs: the scores at once, and what they rest on when all parts have been hidden."""
    content, name = (None, "") if picture is None else (as_data_uri(Path(picture)), Path(picture).name)
    post = read(classify, {"text": words, "image": content, "target": target}, name)
    answer = classify(post, top_k=None)
    bars = [by_label(entries) for entries in ([answer] if isinstance(answer, list) else answer.values())]
    labels = list(by_label(answer))
    chosen = gr.Dropdown(labels, value=labels[0])
    yield *bars, chosen, None, "", None, ""
    found = occlude(classify, post, lambda share: progress(share, desc="What it rests on"))
    found = None if post["image"] is None else shrunk(post["image"], SHOWN_SIDE), found
    yield *bars, chosen, found, *explanation(found, labels[0])


def as_data_uri(file: Path) -> str:
    """Of whatever the file is; what the pipeline is given in this form, it trusts no more than what the web brings."""
    return f"data:;base64,{base64.b64encode(file.read_bytes()).decode()}"


def read(classify, post: dict, name: str) -> dict:
    """
    Args:
        post: text, image in base64 or as a data: URI, and target; what is empty is missing.
        name: of the picture, for the sentence that refuses it.

    Raises:
        gr.Error: for no post, for one that is too long, and for what is no picture.
    """
    post = {part: (value or "").strip() or None for part, value in post.items()}
    with told(name):
        if post["text"] is None and post["image"] is None:
            raise ValueError("Give a picture, words, or both.")
        for part in ("text", "target"):
            if len(post[part] or "") > MOST_CHARACTERS:
                raise ValueError(f"{part} must have {MOST_CHARACTERS} characters at most, got {len(post[part])}.")
        return classify.read(post)


@contextmanager
def told(name: str = "") -> Iterator[None]:
    """Shows the sentence of a ValueError to who asked; a picture is called by its name there."""
    try:
        yield
    except ValueError as error:
        reason = re.sub(r"^base64 of \d+ bytes", lambda match: name, str(error))
        raise gr.Error(reason, print_exception=False) from error


def explanation(found: tuple | None, label: str | None) -> tuple:
    """What a label's score rests on, as the outputs below the bars."""
    if found is None or label is None:
        return "", None, ""
    picture, found = found
    cells, words = found.cells.get(label), found.words.get(label)
    coloured = None if cells is None else colour_picture(picture, cells)
    without = [] if words is None else [score_of(found.odds[label] - lost) for lost in words.tolist()]
    return summary(found, label), coloured, colour_words(found.spans, words, without)


def summary(found: Occlusion, label: str) -> str:
    """Markdown: the label's score, those of each side alone, and what hiding a part makes of it."""
    odds = found.odds[label]
    parts = [percent(odds)]
    parts += [f"the {side} alone {percent(alone[label])}" for side, alone in found.alone.items()]
    for part, lost in (("cell", found.cells), ("word", found.words)):
        if label in lost:
            least, most = percent(odds - lost[label].max()), percent(odds - lost[label].min())
            parts.append(f"without one {part} {least} to {most}")
    return f"{as_it_is(label)}: {', '.join(parts)}."


def percent(odds: float) -> str:
    return f"{100 * score_of(odds):.1f} %"


def as_it_is(label: str) -> str:
    """In Markdown, with nothing of it taken for a sign."""
    return re.sub(r"([^\w\s])", r"\\\1", label)
