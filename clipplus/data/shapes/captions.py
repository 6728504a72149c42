"""What people, and what careless machines, would write about a scene."""

from typing import Any

import numpy as np

from clipplus.data.shapes.scene import COLOURS, SHAPES, Scene, Thing, generator_of

Caption = dict[str, Any]

#: Pseudo-captions per scene, how often a word in one is wrong, and how often one repeats the one before.
PSEUDO_CAPTIONS = 3
WRONG_WORD = 0.25
REPEATED = 0.2
_TEXTURE_WORDS = {"plain": "", "striped": "striped ", "dotted": "dotted ", "checked": "checked "}
_NUMBERS = ("no", "one", "two", "three")


def name(thing: Thing) -> str:
    """'red star', the name of its class."""
    return f"{thing.colour} {thing.shape}"


def phrase(thing: Thing) -> str:
    """'large striped red star'."""
    return f"{thing.size} {_TEXTURE_WORDS[thing.texture]}{thing.colour} {thing.shape}"


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def relation(first: Thing, second: Thing) -> str:
    """Where `first` is as seen from `second`: the larger of the two distances decides."""
    right, down = first.x - second.x, first.y - second.y
    if abs(right) >= abs(down):
        return "right of" if right > 0 else "left of"
    return "below" if down > 0 else "above"


def place(thing: Thing) -> str:
    """The ninth of the picture that a thing's centre is in."""
    column = ("left", "middle", "right")[min(int(thing.x * 3), 2)]
    row = ("top", "middle", "bottom")[min(int(thing.y * 3), 2)]
    if row == column:
        return "in the middle"
    if "middle" in (row, column):
        return f"at the {row if column == 'middle' else column}"
    return f"at the {row} {column}"


def short_caption(scene: Scene) -> str:
    """The main thing, and its relation to the next one if there is one; sizes and textures go unmentioned."""
    main = _article(name(scene.main))
    if len(scene.things) == 1:
        return f"{main} {place(scene.main)}"
    other = scene.things[1]
    return f"{main} {relation(scene.main, other)} {_article(name(other))}"


def long_caption(scene: Scene) -> str:
    """Several sentences: every thing, where it is, how it relates to the main one, and the background."""
    main, *others = scene.things
    lightness = "dark" if sum(scene.shades[0]) < 330 else "light"
    sentences = [f"The picture shows {_article(phrase(main))} {place(main)}."]
    counted = f"{_NUMBERS[len(others)]} other thing{'' if len(others) == 1 else 's'}"
    sentences.append(f"There {'is' if len(others) == 1 else 'are'} {counted} beside it.")
    sentences += [
        f"{_article(phrase(other)).capitalize()} is {place(other)}, {relation(other, main)} the {main.shape}."
        for other in others
    ]
    sentences.append(f"The background is {lightness} and {scene.background}.")
    return " ".join(sentences)


def pseudo_captions(scene: Scene, key: tuple) -> list[tuple[str, float]]:
    """Captions as a captioning model would write them: some words wrong, some captions twice.

    Args:
        scene: what is shown.
        key: what the noise depends on.

    Returns:
        (text, score) pairs; the score is the share of right words among colour and shape, plus noise, in [0, 1].
    """
    rng = generator_of("pseudo", *key)
    result: list[tuple[str, float]] = []
    for _ in range(PSEUDO_CAPTIONS):
        if result and rng.random() < REPEATED:
            result.append(result[-1])
            continue
        thing = scene.things[rng.integers(len(scene.things))]
        colour, right_colour = _maybe_wrong(rng, thing.colour, tuple(COLOURS))
        shape, right_shape = _maybe_wrong(rng, thing.shape, SHAPES)
        beginning = ("a picture of", "there is", "this looks like")[rng.integers(3)]
        score = (right_colour + right_shape) / 2 * 0.8 + rng.uniform(0, 0.2)
        result.append((f"{beginning} {_article(f'{colour} {shape}')}", round(float(score), 3)))
    return result


def _maybe_wrong(rng: np.random.Generator, word: str, words: tuple[str, ...]) -> tuple[str, bool]:
    if rng.random() >= WRONG_WORD:
        return word, True
    wrong = words[rng.integers(len(words))]
    return wrong, wrong == word


def captions_of_scene(scene: Scene, key: tuple) -> list[Caption]:
    """All captions of a scene as records: a short one (kind raw), a long one, the pseudo-captions."""
    records: list[Caption] = [
        dict(source="shapes", kind="raw", text=short_caption(scene), score=None),
        dict(source="shapes", kind="long", text=long_caption(scene), score=None),
    ]
    records += [dict(source="shapes-pseudo", kind="pseudo", text=t, score=s) for t, s in pseudo_captions(scene, key)]
    return records
