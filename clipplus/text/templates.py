"""Prompt templates: named, versioned lists into which class names are put."""

from collections.abc import Sequence

import open_clip

from clipplus.did_you_mean import did_you_mean

_ARTICLES = ("a", "the")
_CIFAR_PHOTOS = ("photo", "blurry photo", "black and white photo", "low contrast photo", "high contrast photo",
                 "bad photo", "good photo")  # fmt: skip
# ART is the article. It is always "a", never "an": "a embroidered {}", "a origami {}".
_CALTECH_FORMS = (
    "a photo of ART {}.", "a painting of ART {}.", "ART plastic {}.", "a sculpture of ART {}.", "a sketch of ART {}.",
    "a tattoo of ART {}.", "ART toy {}.", "a rendition of ART {}.", "ART embroidered {}.", "ART cartoon {}.",
    "ART {} in a video game.", "ART plushie {}.", "ART origami {}.", "art of ART {}.", "graffiti of ART {}.",
    "a drawing of ART {}.", "a doodle of ART {}.",
)  # fmt: skip


def _cifar(article: str) -> list[str]:
    kinds = [f"a {photo} of {article} {{}}." for photo in _CIFAR_PHOTOS]
    return kinds + [f"a photo of {article} {size} {{}}." for size in ("small", "big")]


#: Named template sets. A name never changes its content; another list gets another name.
TEMPLATE_SETS: dict[str, Sequence[str]] = {
    "name": ["{}"],
    "photo": ["a photo of a {}."],
    # OpenAI's 80 ImageNet templates, and the 7 that their notebook found to be nearly as good.
    "openai": [template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES],
    "openai-7": [template("{}") for template in open_clip.SIMPLE_IMAGENET_TEMPLATES],
    # What OpenAI published for the other benchmarks, in its order (github.com/openai/CLIP, data/prompts.md).
    "openai-aircraft": [f"a photo of {article} {{}}, a type of aircraft." for article in _ARTICLES],
    "openai-caltech101": [form.replace("ART", article) for article in _ARTICLES for form in _CALTECH_FORMS],
    "openai-cars": [
        "a photo of a {}.", "a photo of the {}.", "a photo of my {}.", "i love my {}!", "a photo of my dirty {}.",
        "a photo of my clean {}.", "a photo of my new {}.", "a photo of my old {}.",
    ],
    # CIFAR-10 and CIFAR-100.
    "openai-cifar": [template for article in _ARTICLES for template in _cifar(article)],
    "openai-dtd": [
        f"a photo of {article} {{}} {noun}."
        for article in _ARTICLES for noun in ("texture", "pattern", "thing", "object")
    ],
    "openai-flowers102": ["a photo of a {}, a type of flower."],
    "openai-food101": ["a photo of {}, a type of food."],
    "openai-pets": ["a photo of a {}, a type of pet."],
    "openai-sun397": [f"a photo of {article} {{}}." for article in _ARTICLES],
}  # fmt: skip


def resolve_templates(templates: str | Sequence[str]) -> list[str]:
    """A list of templates with `{}` where the class name goes.

    Args:
        templates: a list, or the name of a set in `TEMPLATE_SETS`.

    Raises:
        ValueError: unknown name (with the nearest known one), empty list, or a template without `{}`.
    """
    if isinstance(templates, str):
        if templates not in TEMPLATE_SETS:
            hint = did_you_mean(templates, TEMPLATE_SETS)
            raise ValueError(f"unknown template set '{templates}'; known: {', '.join(sorted(TEMPLATE_SETS))}{hint}")
        templates = TEMPLATE_SETS[templates]
    without = [template for template in templates if "{}" not in template]
    if without or not templates:
        raise ValueError(f"templates need '{{}}' where the class name goes, got {without or 'an empty list'}")
    return list(templates)
