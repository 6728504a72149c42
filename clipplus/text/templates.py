"""Prompt templates: named, versioned lists into which class names are put."""

from collections.abc import Sequence

import open_clip

#: Named template sets. A name never changes its content; another list gets another name.
TEMPLATE_SETS: dict[str, Sequence[str]] = {
    "name": ["{}"],
    "photo": ["a photo of a {}."],
    # OpenAI's 80 ImageNet templates, and the 7 that their notebook found to be nearly as good.
    "openai": [template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES],
    "openai-7": [template("{}") for template in open_clip.SIMPLE_IMAGENET_TEMPLATES],
}


def resolve_templates(templates: str | Sequence[str]) -> list[str]:
    """A list of templates with `{}` where the class name goes.

    Args:
        templates: a list, or the name of a set in `TEMPLATE_SETS`.

    Raises:
        ValueError: unknown name, empty list, or a template without `{}`.
    """
    if isinstance(templates, str):
        if templates not in TEMPLATE_SETS:
            raise ValueError(f"unknown template set '{templates}'; known: {', '.join(sorted(TEMPLATE_SETS))}")
        templates = TEMPLATE_SETS[templates]
    without = [template for template in templates if "{}" not in template]
    if without or not templates:
        raise ValueError(f"templates need '{{}}' where the class name goes, got {without or 'an empty list'}")
    return list(templates)
