"""Print chance and the colour-histogram baseline on the scenes that configs/clip evaluate on.

python tools/analysis/shapes_baselines.py [--train 8192] [--json RESULT.json]
"""

import argparse
import json
from pathlib import Path

import torch

from clipplus.data import ShapesDataset
from clipplus.data.shapes.baselines import apply_ridge, bags_of_words, colour_histogram, ridge
from clipplus.evaluation import label_ranks, retrieval_ranks

PENALTY = 0.1


def read(split: str, scenes: int) -> tuple[torch.Tensor, list[str], torch.Tensor]:
    """Histograms, short captions and labels."""
    items = [ShapesDataset(split=split, num_scenes=scenes)[index] for index in range(scenes)]
    histograms = torch.stack([torch.from_numpy(colour_histogram(item["img"])) for item in items])
    return (
        histograms,
        [item["captions"][0]["text"] for item in items],
        torch.tensor([item["gt_label"] for item in items]),
    )


def recalls(ranks: torch.Tensor, ks: tuple[int, ...]) -> list[float]:
    """Percent of ranks below each k."""
    return [float((ranks < k).double().mean() * 100) for k in ks]


def histogram_baseline(train: int, classes_on: int, captions_on: int) -> dict[str, float]:
    """Metrics of the baseline, named as a training names them."""
    histograms, captions, _ = read("train", train)
    words = sorted({word for caption in captions for word in caption.lower().split()})
    weights = ridge(histograms, bags_of_words(captions, words), PENALTY)
    tested, texts, labels = read("val", classes_on)
    predicted = apply_ridge(tested, weights)
    classes = bags_of_words(ShapesDataset.METAINFO["classes"], words)
    top = recalls(label_ranks(predicted @ classes.T, labels), (1, 5))
    few = slice(captions_on)
    ranks = retrieval_ranks(predicted[few], bags_of_words(texts[few], words), torch.arange(captions_on))
    to_text, to_image = recalls(ranks.image_to_text, (1, 5)), recalls(ranks.text_to_image, (1, 5))
    return {
        "shapes_classes/top1": top[0], "shapes_classes/top5": top[1],
        "shapes_captions/image_to_text_R@1": to_text[0], "shapes_captions/image_to_text_R@5": to_text[1],
        "shapes_captions/text_to_image_R@1": to_image[0], "shapes_captions/text_to_image_R@5": to_image[1],
    }  # fmt: skip


def chance(classes: int, captions: int) -> dict[str, float]:
    """Metrics of guessing."""
    both = {
        f"shapes_captions/{way}_R@{k}": 100 * k / captions for way in ("image_to_text", "text_to_image") for k in (1, 5)
    }
    return {"shapes_classes/top1": 100 / classes, "shapes_classes/top5": 500 / classes, **both}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=8192, help="training scenes of the baseline")
    parser.add_argument("--classes-on", type=int, default=1000, help="val scenes for classification")
    parser.add_argument("--captions-on", type=int, default=500, help="val scenes for retrieval")
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    arguments = parser.parse_args()
    guessed = chance(len(ShapesDataset.METAINFO["classes"]), arguments.captions_on)
    measured = histogram_baseline(arguments.train, arguments.classes_on, arguments.captions_on)
    print(f"{'metric (%)':<36}{'chance':>8}{'colour histogram':>18}")
    for name, value in measured.items():
        print(f"{name:<36}{guessed[name]:>8.2f}{value:>18.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"chance": guessed, "colour histogram": measured}, indent=2) + "\n")


if __name__ == "__main__":
    main()
