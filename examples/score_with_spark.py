"""Score a table of posts with Spark: a pandas UDF around the pipeline.

    spark-submit examples/score_with_spark.py CHECKPOINT s3a://bucket/posts/ s3a://bucket/answers/

The table is Parquet with the columns `id`, `text` and `image` (the bytes of a picture's file), of which text or image
may be null. The answers are Parquet with `id`, `label`, `score`, and `reason` where a post could not be read. Spark
brings the schedule and the retries; `pyspark` and duosent must be there on every machine, and CHECKPOINT a folder that
all of them see or a Hub name.
"""

import argparse
from collections.abc import Callable
from typing import Iterator, Tuple  # noqa: UP035  (the names that Spark knows in a UDF's hints)

import pandas as pd

ANSWER = "label string, score double, reason string"


def answers(classify, texts: pd.Series, images: pd.Series) -> pd.DataFrame:
    """The answer to each post of a batch; one that cannot be read has none, and a reason."""
    posts = [
        {name: value for name, value in (("text", text), ("image", image)) if value is not None and value == value}
        for text, image in zip(texts, images, strict=True)
    ]
    try:
        return as_table([labels[0] | {"reason": None} for labels in classify(posts, batch_size=len(posts))])
    except ValueError:  # of one of them, so each is asked alone
        return as_table([answer(classify, post) for post in posts])


def answer(classify, post: dict) -> dict:
    try:
        return classify(post)[0] | {"reason": None}
    except ValueError as error:
        return {"label": None, "score": None, "reason": str(error)}


def as_table(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["label", "score", "reason"]).astype({"score": "float64"})


def scorer(checkpoint: str) -> Callable:
    """What Spark runs in each of its Python processes."""

    def score(batches: Iterator[Tuple[pd.Series, pd.Series]]) -> Iterator[pd.DataFrame]:  # noqa: UP006
        from transformers import pipeline

        import duosent  # noqa: F401  (makes the pipeline known)

        # Once for all batches of a partition.
        classify = pipeline("image-text-classification", model=checkpoint)
        for texts, images in batches:
            yield answers(classify, texts, images)

    return score


def main(options: argparse.Namespace) -> None:
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import col, pandas_udf

    spark = SparkSession.builder.appName("duosent").getOrCreate()
    # Pictures are large: few posts at once.
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "64")
    score = pandas_udf(scorer(options.checkpoint), ANSWER)
    posts = spark.read.parquet(options.posts)
    scored = posts.select("id", score(col("text"), col("image")).alias("answer")).select("id", "answer.*")
    scored.write.parquet(options.answers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("posts")
    parser.add_argument("answers")
    main(parser.parse_args())
