"""What emoji scenes can show, and what one says about a scene.

The things are a list of our own: single, drawn alike by all artists, told apart at 30 pixels, and with an English name
that takes 'a' or 'an'. Faces ("dog face"), plurals ("grapes"), masses ("bread"), signs and people are left out.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

THINGS = {
    "animal": (
        "monkey", "gorilla", "dog", "wolf", "fox", "raccoon", "cat", "lion", "tiger", "horse", "zebra", "deer", "cow",
        "pig", "goat", "camel", "llama", "giraffe", "elephant", "rhinoceros", "hippopotamus", "mouse", "rabbit",
        "hedgehog", "bat", "bear", "koala", "panda", "sloth", "kangaroo", "turkey", "rooster", "penguin", "eagle",
        "duck", "swan", "owl", "flamingo", "peacock", "parrot", "frog", "crocodile", "turtle", "lizard", "snake",
        "dragon", "whale", "dolphin", "fish", "shark", "octopus", "crab", "lobster", "squid", "snail", "butterfly",
        "ant", "honeybee", "spider", "scorpion",
    ),
    "plant": ("rose", "sunflower", "tulip", "palm tree", "cactus", "mushroom", "maple leaf", "evergreen tree"),
    "food": (
        "watermelon", "tangerine", "lemon", "banana", "pineapple", "mango", "red apple", "green apple", "pear", "peach",
        "strawberry", "tomato", "coconut", "avocado", "eggplant", "carrot", "cucumber", "onion", "croissant", "pretzel",
        "bagel", "waffle", "hamburger", "pizza", "hot dog", "sandwich", "taco", "doughnut", "cookie", "birthday cake",
        "cupcake", "lollipop", "teapot", "wine glass", "beer mug",
    ),
    "vehicle": (
        "locomotive", "bus", "ambulance", "fire engine", "police car", "taxi", "automobile", "tractor", "motorcycle",
        "bicycle", "skateboard", "sailboat", "canoe", "ship", "airplane", "helicopter", "rocket", "parachute",
    ),
    "building": ("house", "castle", "church", "tent", "fountain", "ferris wheel"),
    "object": (
        "watch", "alarm clock", "umbrella", "snowman", "balloon", "trophy", "soccer ball", "basketball", "kite",
        "teddy bear", "crystal ball", "top hat", "crown", "backpack", "t-shirt", "dress", "necktie", "running shoe",
        "ring", "bell", "megaphone", "guitar", "violin", "trumpet", "saxophone", "drum", "telephone", "mobile phone",
        "laptop", "television", "camera", "light bulb", "candle", "pencil", "hammer", "axe", "key", "wrench", "magnet",
        "ladder", "bomb", "microscope", "telescope", "chair", "bed", "door", "toilet", "broom", "bucket", "anchor",
    ),
}  # fmt: skip

_AN = ("a", "e", "i", "o", "um")
_NUMBERS = {2: "two", 3: "three", 4: "four"}


class Placed(NamedTuple):
    """A thing in a scene; `x` and `y` are its centre, rightwards and downwards."""

    label: str
    x: float
    y: float


def class_names() -> list[str]:
    """'background' and the names of all things; position = value in the masks."""
    return ["background", *(label for labels in THINGS.values() for label in labels)]


def with_article(label: str) -> str:
    """'a dog', 'an owl'."""
    return f"{'an' if label.startswith(_AN) else 'a'} {label}"


def listed(words: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def relation(first: Placed, second: Placed) -> str:
    """Where `first` is as seen from `second`: the larger of the two distances decides."""
    right, down = first.x - second.x, first.y - second.y
    if abs(right) >= abs(down):
        return "right of" if right > 0 else "left of"
    return "below" if down > 0 else "above"


def captions_of_scene(things: Sequence[Placed], background: str) -> list[dict[str, Any]]:
    """Caption records of a scene.

    Args:
        things: the largest first.
        background: in words, 'light and striped'.

    Returns:
        One caption of kind 'raw' (the first thing and where it is as seen from each of the others); a 'short' one per
        thing, its name; a 'long' one: what there is, the relations of every pair, the background.
    """
    first, *others = things
    seen_from = ", ".join(f"{relation(first, other)} {with_article(other.label)}" for other in others)
    captions = [_caption("raw", f"{with_article(first.label)} {seen_from}")]
    captions += [_caption("short", with_article(thing.label)) for thing in things]
    captions.append(_caption("long", _describe(things, background)))
    return captions


def _caption(kind: str, text: str) -> dict[str, Any]:
    return {"source": "emoji scenes", "kind": kind, "text": text}


def _describe(things: Sequence[Placed], background: str) -> str:
    names = listed([with_article(thing.label) for thing in things])
    sentences = [f"There are {_NUMBERS[len(things)]} things: {names}."]
    for position, thing in enumerate(things[:-1]):
        # 'left of the fish and the cow, above the ship': each word once.
        pairs = sorted((relation(thing, other), other.label) for other in things[position + 1 :])
        parts = [
            f"{word} {listed([f'the {label}' for _, label in group])}"
            for word, group in groupby(pairs, key=lambda pair: pair[0])
        ]
        sentences.append(f"The {thing.label} is {', '.join(parts)}.")
    return " ".join([*sentences, f"The background is {background}."])
