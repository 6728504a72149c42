"""Class names of the benchmarks: OpenAI's words in the order of the data sets' labels."""

import re

import mmpretrain.datasets.categories as hosts
import open_clip
import pytest

from clipplus.checkpoints import fingerprint
from clipplus.text import resolve_class_names
from clipplus.text.class_names import CLASS_SETS, readable_names

# Number of names and fingerprint of OpenAI's list, in lower case (which is all that CLIP's tokenizer sees) and in the
# order of the data set's labels.
OPENAI = {
    "CIFAR10_CATEGORIES": (10, "fcdc2e1a755ed346"),
    "CIFAR100_CATEGORIES": (100, "acf08d36f2d77c23"),
    "FOOD101_CATEGORIES": (101, "ff14d574ad8ac04f"),
    "OxfordIIITPet_CATEGORIES": (37, "ff71cf84b8ef93f4"),
    "SUN397_CATEGORIES": (397, "e4fb1c9f529aaf1c"),
    "STANFORDCARS_CATEGORIES": (196, "c1b8df6f05713f61"),
    "DTD_CATEGORIES": (47, "a63a5d4efba346bb"),
    "FGVCAIRCRAFT_CATEGORIES": (100, "01b498bc6aa1e969"),
}
OWN = {
    "caltech101": (101, "3c3d383fec61c6de"),
    "flowers102": (102, "b38949dbaafb3a70"),
    "imagenet": (1000, "6ef5246539bb6543"),
}


@pytest.mark.parametrize("name", OPENAI)
def test_labels_of_the_data_set_made_readable_are_openais_names(name: str) -> None:
    """So that the data sets' own names serve, and an upgrade of the host that changes them is seen."""
    names = [label.lower() for label in readable_names(getattr(hosts, name))]
    assert (len(names), fingerprint(names)[:16]) == OPENAI[name]


@pytest.mark.parametrize("name", OWN)
def test_a_set_never_changes_its_content(name: str) -> None:
    names = resolve_class_names(name)
    assert (len(names), fingerprint(names)[:16]) == OWN[name]


def test_caltech_follows_the_labels_without_background() -> None:
    """Each name holds a word of its folder's; the plural of four folders is a singular in the prompt."""
    labels = [name for name in hosts.CALTECH101_CATEGORIES if name != "BACKGROUND_Google"]
    names = resolve_class_names("caltech101")
    assert len(names) == len(set(names)) == len(labels) == 101
    for name, label in zip(names, readable_names(labels), strict=True):
        assert {word.rstrip("s").lower() for word in label.split()} & {word.rstrip("s") for word in name.split()}


def test_flowers_follow_the_numbers_of_the_label_file() -> None:
    """The data set numbers its classes; these are categories 1, 12, 74 and 102 of its page."""
    names = resolve_class_names("flowers102")
    assert len(names) == len(set(names)) == 102
    assert [names[index - 1] for index in (1, 12, 74, 102)] == [
        "pink primrose", "colt's foot", "rose", "blackberry lily",
    ]  # fmt: skip


def test_imagenet_follows_the_labels() -> None:
    """All but 40 of the thousand names share a word with their label; shifted by one, hardly any would."""
    names = resolve_class_names("imagenet")
    assert names == list(open_clip.IMAGENET_CLASSNAMES) == list(hosts.IMAGENET_SIMPLE_CATEGORIES)

    def words(text: str) -> set[str]:
        return set(re.findall("[a-z]+", text.lower()))

    labels = hosts.IMAGENET_CATEGORIES
    assert sum(bool(words(name) & words(label)) for name, label in zip(names, labels, strict=True)) == 960


def test_underscores_become_blanks_and_hyphens_stay() -> None:
    assert readable_names(["aquarium_fish", "polka-dotted", "A_b__c"]) == ["aquarium fish", "polka-dotted", "A b c"]


def test_unknown_set_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'flowers' is neither a class-name set \(.*imagenet.*\) nor a file") as error:
        resolve_class_names("flowers")
    assert "(did you mean 'flowers102'?)" in str(error.value)
    assert {"caltech101", "flowers102", "imagenet"} <= CLASS_SETS.keys()
