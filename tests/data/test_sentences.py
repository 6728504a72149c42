"""Where long captions are cut."""

import pytest

from clipplus.data.sentences import split_sentences


def test_official_splitter_cuts_at_every_full_stop_line_break_and_end_mark():
    assert split_sentences("A dog.  It costs $3.50!\nRed? Yes</s>end ...") == [
        "A dog",
        "It costs $3",
        "50!",
        "Red? Yes",
        "end",
    ]


@pytest.mark.parametrize("text", ["", "   ", "...", "</s>"])
def test_texts_without_words_have_no_sentences(text):
    assert split_sentences(text) == split_sentences(text, "smart") == []


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("a dog runs. it is brown.", ["a dog runs", "it is brown"]),
        ("Dr. Smith, e.g. a doctor, paid $3.50 for it.", ["Dr. Smith, e.g. a doctor, paid $3.50 for it"]),
        ("Is it red? Yes! it is.", ["Is it red?", "Yes! it is"]),
        ("See www.example.com for details. Done", ["See www.example.com for details", "Done"]),
        ("A U.S.A. flag at 5 p.m. in the wind.", ["A U.S.A. flag at 5 p.m. in the wind"]),
        ("It waits... and waits. It goes... Home.", ["It waits... and waits", "It goes", "Home"]),
        ('The sign says "Hi." and waves.', ['The sign says "Hi." and waves']),
        ("1. a man\n2. a dog\n3. ", ["a man", "a dog"]),
        ("A red car</s>A bus", ["A red car", "A bus"]),
    ],
)
def test_smart_splitter_cuts_at_ends_of_sentences_only(text, sentences):
    assert split_sentences(text, "smart") == sentences
