"""The papers of the models, as a card names them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """
    Args:
        model: what the model is called.
        title, place: of the publication.
        link: where it is found.
    """

    model: str
    title: str
    place: str
    link: str | None = None


# By `model_type` of the config.
PAPERS = {
    "mdse": Paper(
        "MDSE",
        "Modality-Dependent Sentiments Exploring for Multi-Modal Sentiment Classification",
        "IEEE International Conference on Acoustics, Speech and Signal Processing (ICASSP), 2024",
    ),
    "radm": Paper(
        "RADM",
        "RADM: residual attention and deep cross-modal interaction for multi-modal sentiment analysis",
        "Application Research of Computers, 2024",
        "https://doi.org/10.19734/j.issn.1001-3695.2024.07.0285",
    ),
    "tfn": Paper(
        "TFN",
        "Tensor Fusion Network for Multimodal Sentiment Analysis",
        "Zadeh et al., EMNLP 2017",
        "https://doi.org/10.18653/v1/D17-1115",
    ),
    "lmf": Paper(
        "LMF",
        "Efficient Low-rank Multimodal Fusion With Modality-Specific Factors",
        "Liu et al., ACL 2018",
        "https://doi.org/10.18653/v1/P18-1209",
    ),
    "clmlf": Paper(
        "CLMLF",
        "CLMLF: A Contrastive Learning and Multi-Layer Fusion Method for Multimodal Sentiment Detection",
        "Li et al., Findings of NAACL 2022",
        "https://doi.org/10.18653/v1/2022.findings-naacl.175",
    ),
    "tombert": Paper(
        "TomBERT",
        "Adapting BERT for Target-Oriented Multimodal Sentiment Classification",
        "Yu and Jiang, IJCAI 2019",
        "https://doi.org/10.24963/ijcai.2019/751",
    ),
}

__all__ = ["PAPERS", "Paper"]
