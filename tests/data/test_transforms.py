"""Captions are chosen, tokenised and packed as stated."""

import logging
import pickle
import random

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import TRANSFORMS

from clipplus.data.caption_dataset import sample_id
from clipplus.data.transforms import PackCaptions, SampleCaptions, TokenizeCaptions

TINY = dict(
    embed_dim=8, vision_cfg=dict(), text_cfg=dict(context_length=8, vocab_size=49408, width=8, heads=1, layers=1)
)


def caption(text, kind="pseudo", source="blip2"):
    return dict(source=source, kind=kind, text=text, score=None)


def sample(*captions):
    return dict(key="k", captions=list(captions))


def chosen(captions, **options):
    return [c["text"] for c in SampleCaptions(**options)(sample(*captions))["captions"]]


RAW = caption("raw", "raw", "raw")
PSEUDO = [caption(f"p{i}") for i in range(4)]


@pytest.fixture(autouse=True)
def _seeded():
    random.seed(0)


def test_first_takes_the_order_of_the_file():
    assert chosen([RAW, *PSEUDO]) == ["raw"]
    assert chosen([RAW, *PSEUDO], policy="first", k=3) == ["raw", "p0", "p1"]


def test_all_keeps_everything_in_order():
    assert chosen([RAW, *PSEUDO], policy="all") == ["raw", "p0", "p1", "p2", "p3"]


def test_sample_k_never_repeats_and_gives_all_when_there_are_no_more():
    for _ in range(20):
        assert len(set(chosen([RAW, *PSEUDO], policy="sample_k", k=3))) == 3
    assert chosen([RAW, PSEUDO[0]], policy="sample_k", k=3) == ["raw", "p0"]


def test_sample_k_reaches_every_caption_about_equally_often():
    counts = dict.fromkeys(["raw", "p0", "p1", "p2", "p3"], 0)
    for _ in range(1000):
        counts[chosen([RAW, *PSEUDO], policy="sample_k", k=1)[0]] += 1
    # 200 expected, standard deviation 13.
    assert all(140 < count < 260 for count in counts.values())


def test_raw_plus_k_puts_the_raw_caption_first_wherever_it_stands():
    for _ in range(20):
        first, *others = chosen([*PSEUDO, RAW], policy="raw_plus_k", k=2)
        assert first == "raw"
        assert len(set(others)) == 2
        assert "raw" not in others


def test_raw_plus_k_does_without_a_raw_caption_where_there_is_none():
    assert sorted(chosen(PSEUDO[:2], policy="raw_plus_k", k=5)) == ["p0", "p1"]


def test_pseudo_only_falls_back_to_raw():
    assert chosen([RAW, *PSEUDO], policy="pseudo_only") == ["p0", "p1", "p2", "p3"]
    assert len(chosen([RAW, *PSEUDO], policy="pseudo_only", k=2)) == 2
    assert chosen([RAW], policy="pseudo_only") == ["raw"]


def test_sub_captions_are_sentences_of_all_but_the_raw_caption():
    captions = [RAW, caption("One cat. Two dogs.", "long"), caption("Three birds", "short")]
    seen = set()
    for _ in range(40):
        first, *sentences = chosen(captions, policy="sub_captions", k=2)
        assert first == "raw"
        assert len(set(sentences)) == 2
        seen |= set(sentences)
    assert seen == {"One cat", "Two dogs", "Three birds"}


def test_sub_captions_repeat_only_where_sentences_are_too_few():
    captions = [RAW, caption("One cat. Two dogs.", "long")]
    assert sorted(set(chosen(captions, policy="sub_captions", k=8))) == ["One cat", "Two dogs", "raw"]
    assert len(chosen(captions, policy="sub_captions", k=8)) == 9
    assert chosen([RAW, caption("...", "long")], policy="sub_captions", k=8) == ["raw"]


def test_sub_captions_keep_kind_and_source_of_their_caption():
    result = SampleCaptions("sub_captions", k=1)(sample(caption("One cat.", "long", "llava15")))
    assert result["captions"] == [caption("One cat", "long", "llava15")]


def test_kinds_and_sources_narrow_the_choice_but_keep_the_raw_caption_first():
    captions = [RAW, caption("s", "short", "a"), caption("l", "long", "b"), caption("m", "long", "a")]
    assert chosen(captions, policy="all", kinds=["long"]) == ["l", "m"]
    assert chosen(captions, policy="all", sources=["a"]) == ["s", "m"]
    assert chosen(captions, policy="raw_plus_k", k=5, kinds=["long"], sources=["a"]) == ["raw", "m"]


def test_a_sample_left_without_captions_is_named():
    with pytest.raises(ValueError, match=r"leaves no caption for key 'k', which has .*\('raw', 'raw'\)"):
        chosen([RAW], policy="all", kinds=["long"])


def test_draws_depend_on_the_global_generator_alone():
    random.seed(5)
    first = [chosen(PSEUDO, policy="sample_k", k=2) for _ in range(5)]
    random.seed(5)
    assert [chosen(PSEUDO, policy="sample_k", k=2) for _ in range(5)] == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(policy="sample", k=1), r"unknown policy 'sample'; known: all, .*\(did you mean 'sample_k'\?\)"),
        (dict(policy="sample_k"), "policy 'sample_k' needs k, the number of captions to draw"),
        (dict(policy="all", k=2), "policy 'all' takes no k, got k=2"),
        (dict(policy="sample_k", k=0), "policy 'sample_k' takes a positive number k, got k=0"),
        (dict(kinds=["shorts"]), r"unknown kind 'shorts'; known: .*\(did you mean 'short'\?\)"),
        (dict(splitter="clever"), "unknown splitter 'clever'; known: official, smart"),
    ],
)
def test_bad_options_are_refused_when_the_config_is_built(options, message):
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build(dict(type="SampleCaptions", **options))


def test_tokens_have_a_row_per_caption_and_their_lengths():
    result = TokenizeCaptions(TINY)(sample(caption("a cat"), caption("a big red cat")))
    assert result["tokens"].shape == (2, 8)
    assert result["tokens"].dtype == torch.int64
    assert result["token_lengths"].tolist() == [4, 6]
    assert result["tokens"][0].tolist() == [49406, 320, 2368, 49407, 0, 0, 0, 0]


def test_lengths_count_the_end_token_where_it_is_the_padding_too(monkeypatch):
    class EndIsPadding:
        context_length, vocab_size, pad_id = 6, 100, 1

        def __call__(self, texts):
            rows = [[7] * min(len(text), 5) + [1] * (6 - min(len(text), 5)) for text in texts]
            return torch.tensor(rows)

        def lengths_untruncated(self, texts):
            return [len(text) + 1 for text in texts]

    monkeypatch.setattr("clipplus.data.transforms.build_tokenizer", lambda *_: EndIsPadding())
    step = TokenizeCaptions({"made-up": "end is padding"})
    result = step(sample(caption("ab"), caption("abcde"), caption("abcdefgh")))
    assert result["token_lengths"].tolist() == [3, 6, 6]
    assert step.truncated == 1


def test_cut_captions_are_counted_and_reported_ever_more_rarely(caplog):
    step = TokenizeCaptions(TINY)
    logger = MMLogger.get_instance("cut_captions")
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.WARNING):
        for _ in range(12):
            step(sample(caption("one two three four five six seven"), caption("one two three four five six")))
    messages = [record.getMessage() for record in caplog.records if "were cut to 8 tokens" in record.getMessage()]
    assert step.truncated == 12
    assert [message.split()[0] for message in messages] == ["1", "10"]
    assert "'one two three four five six seven' (key 'k')" in messages[0]
    assert "has 9" in messages[0]


def test_tokenizers_survive_pickling():
    # Loader workers that are spawned get the pipeline through pickle.
    step = pickle.loads(pickle.dumps(TokenizeCaptions(TINY)))  # noqa: S301  our own bytes
    assert step(sample(caption("a cat")))["token_lengths"].tolist() == [4]


def test_an_unknown_tokenizer_is_refused_when_the_config_is_built():
    with pytest.raises(ValueError, match="unknown model 'ViT-Z-1'"):
        TRANSFORMS.build(dict(type="TokenizeCaptions", tokenizer="ViT-Z-1"))


def test_packing_turns_bgr_to_rgb_and_channels_to_the_front():
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 1] = (1, 2, 3)
    packed = PackCaptions()(dict(img=image, key="x"))
    assert packed["inputs"].shape == (3, 2, 3)
    assert packed["inputs"][:, 0, 1].tolist() == [3, 2, 1]
    assert packed["inputs"].is_contiguous()
    assert (packed["id"], packed["key"]) == (sample_id("x"), "x")
    assert "tokens" not in packed


def test_texts_tokens_and_named_entries_are_packed():
    result = TokenizeCaptions(TINY)(sample(caption("a cat"), caption("a dog")))
    packed = PackCaptions(keys=["feature"])(
        {**result, "img": np.zeros((2, 2, 3), np.uint8), "feature": np.ones(3, np.float16)}
    )
    assert packed["texts"] == ["a cat", "a dog"]
    assert packed["tokens"].shape == (2, 8)
    assert packed["feature"].dtype == torch.float16


def test_what_cannot_be_packed_is_named():
    with pytest.raises(ValueError, match=r"uint8 images \(H, W, 3\), got float32 \(2, 2, 3\) for key 'x'"):
        PackCaptions()(dict(img=np.zeros((2, 2, 3), np.float32), key="x"))
    with pytest.raises(KeyError, match="names 'feature', but sample 'x' has img, key"):
        PackCaptions(keys=["feature"])(dict(img=np.zeros((2, 2, 3), np.uint8), key="x"))
