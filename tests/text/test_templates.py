"""Named template sets: what OpenAI published, for ever the same."""

import re

import pytest

from clipplus.checkpoints import fingerprint
from clipplus.text import TEMPLATE_SETS, resolve_templates

# Number of templates and fingerprint of the list. A set that must change gets another name.
PINNED = {
    "name": (1, "06d303a9b27b9a13"),
    "photo": (1, "3849a0dee9e53fa0"),
    "openai": (80, "e30aa9d7fb289e07"),
    "openai-7": (7, "2104fe2593416a8a"),
    "openai-aircraft": (2, "7392559843c9e1c1"),
    "openai-caltech101": (34, "245d8882ac2c473c"),
    "openai-cars": (8, "8fa6b3391ed7a986"),
    "openai-cifar": (18, "20da23be985f68bb"),
    "openai-dtd": (8, "3bf9e3ef44394d33"),
    "openai-flowers102": (1, "aeefe344d9dba84d"),
    "openai-food101": (1, "fb94a25e334c1d34"),
    "openai-pets": (1, "1d46030a0d577a80"),
    "openai-sun397": (2, "2426112b3ce27999"),
}


def test_every_set_is_pinned() -> None:
    assert TEMPLATE_SETS.keys() == PINNED.keys()


@pytest.mark.parametrize("name", PINNED)
def test_a_name_never_changes_its_content(name: str) -> None:
    templates = resolve_templates(name)
    assert (len(templates), fingerprint(templates)[:16]) == PINNED[name]
    assert len(set(templates)) == len(templates)


def test_cifar_has_seven_kinds_of_photo_and_two_sizes_with_both_articles() -> None:
    templates = resolve_templates("openai-cifar")
    assert templates[:2] == ["a photo of a {}.", "a blurry photo of a {}."]
    assert templates[-3:] == ["a good photo of the {}.", "a photo of the small {}.", "a photo of the big {}."]
    assert sum(" of a " in template for template in templates) == 9


def test_caltechs_article_is_never_an() -> None:
    templates = resolve_templates("openai-caltech101")
    assert {"a embroidered {}.", "the origami {}.", "a {} in a video game.", "graffiti of the {}."} <= set(templates)
    assert not any(re.search(r"\ban\b", template) for template in templates)


@pytest.mark.parametrize(
    ("name", "templates"),
    [
        ("openai-food101", ["a photo of {}, a type of food."]),
        ("openai-pets", ["a photo of a {}, a type of pet."]),
        ("openai-flowers102", ["a photo of a {}, a type of flower."]),
        ("openai-aircraft", ["a photo of a {}, a type of aircraft.", "a photo of the {}, a type of aircraft."]),
        ("openai-sun397", ["a photo of a {}.", "a photo of the {}."]),
    ],
)
def test_short_sets_word_for_word(name: str, templates: list[str]) -> None:
    assert resolve_templates(name) == templates


def test_unknown_set_lists_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown template set 'openai-cifar10'; known: .*openai-sun397") as error:
        resolve_templates("openai-cifar10")
    assert str(error.value).endswith("(did you mean 'openai-cifar'?)")
    with pytest.raises(ValueError, match=r"unknown template set 'xyz'; known: .*photo$"):
        resolve_templates("xyz")
