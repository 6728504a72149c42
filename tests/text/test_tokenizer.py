"""SigLIP's texts with a tokenizer from a local folder: rows, errors, and a whole model on them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmengine.registry import MODELS
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

import clipplus
import clipplus.clip
from clipplus.data.collate import caption_collate
from clipplus.data.transforms import PackCaptions, TokenizeCaptions
from clipplus.text import ClassTextBank, build_tokenizer
from clipplus.towers import CLIPTextTower

WORDS = ("<unk>", "</s>", "a", "photo", "of", "the", "red", "blue", "cat", "dog", "on", "mat")
TEXT = dict(context_length=16, vocab_size=len(WORDS), width=32, heads=2, layers=2,
            hf_tokenizer_name="timm/ViT-B-16-SigLIP", tokenizer_kwargs=dict(clean="canonicalize"), no_causal_mask=True,
            proj_bias=True, pool_type="last", norm_kwargs=dict(eps=1e-6))  # fmt: skip
SIGLIP = dict(embed_dim=64, quick_gelu=False, custom_text=True, init_logit_bias=-10, text_cfg=TEXT,
              vision_cfg=dict(image_size=32, timm_model_name="test_vit", timm_model_pretrained=False, timm_pool="map",
                              timm_proj="none"))  # fmt: skip


def save_tokenizer(folder: Path, **special: str) -> str:
    """A tokenizer of twelve words that ends every text with `</s>`, as SigLIP's does."""
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", **special).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """SigLIP's tokenizer pads with its end token."""
    return save_tokenizer(tmp_path / "tokenizer", pad_token="</s>", eos_token="</s>")


def siglip(folder: str, **options: Any) -> Any:
    torch.manual_seed(0)
    config = dict(
        type="CLIPModel",
        image_tower=dict(type="CLIPImageTower", model=SIGLIP),
        text_tower=dict(type="CLIPTextTower", model=SIGLIP, tokenizer=folder),
        loss=dict(type="SoftmaxContrastiveLoss"),
    )
    return MODELS.build(config | options)


def batch(folder: str, texts: list[str]) -> dict[str, Any]:
    """A collated batch of random pictures, each with one of the texts."""
    tokenize, pack = TokenizeCaptions(SIGLIP, folder), PackCaptions()
    pixels = np.random.default_rng(0).integers(0, 256, (len(texts), 32, 32, 3), dtype=np.uint8)
    samples = [
        dict(img=image, key=text, captions=[dict(source="test", kind="raw", text=text, score=None)])
        for image, text in zip(pixels, texts, strict=True)
    ]
    return caption_collate([pack(tokenize(sample)) for sample in samples])


def test_rows_are_cleaned_ended_and_padded_with_the_tokenizers_own_id(folder: str) -> None:
    tokenizer = build_tokenizer(SIGLIP, folder)
    row = tokenizer(["A photo, of the CAT!"])[0].tolist()
    assert row == [2, 3, 4, 5, 8, 1] + [1] * 10
    assert (tokenizer.pad_id, tokenizer.vocab_size, tokenizer.context_length) == (1, 12, 16)


def test_lengths_count_the_cleaned_text(folder: str) -> None:
    texts = ["A photo, of the CAT!", "", "cat " * 30]
    assert build_tokenizer(SIGLIP, folder).lengths_untruncated(texts) == [6, 1, 31]


def test_too_long_text_keeps_its_end_token(folder: str) -> None:
    assert build_tokenizer(SIGLIP, folder)(["cat " * 30])[0].tolist() == [8] * 15 + [1]


def test_hub_tokenizer_that_is_out_of_reach_names_the_keys_to_set() -> None:
    with pytest.raises(FileNotFoundError, match=r"text_tower.tokenizer='FOLDER', and folder='FOLDER' in every Tokeni"):
        siglip(folder=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [None, "{}", '{"version": "1.0", "model": {'])
def test_folder_without_a_readable_tokenizer_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(FileNotFoundError, match=rf"folder '{tmp_path}' holds no tokenizer that can be read"):
        build_tokenizer(SIGLIP, str(tmp_path))


def test_tokenizer_without_padding_is_refused(tmp_path: Path) -> None:
    folder = save_tokenizer(tmp_path / "unpadded", eos_token="</s>")
    with pytest.raises(ValueError, match=r"has no padding token: set `pad_token` in its tokenizer_config.json"):
        build_tokenizer(SIGLIP, folder)


def test_option_that_would_run_foreign_code_is_refused(folder: str) -> None:
    evil = dict(SIGLIP, text_cfg=dict(TEXT, tokenizer_kwargs=dict(trust_remote_code=True)))
    with pytest.raises(ValueError, match=r"tokenizer_kwargs: unknown keys \['trust_remote_code'\]; known: clean, "):
        build_tokenizer(evil, folder)


def test_trimmed_batch_embeds_as_full_rows_do(folder: str) -> None:
    model = siglip(folder).eval()
    texts = ["a red cat", "the blue dog on the mat"]
    tokens = batch(folder, texts)["tokens"]
    assert tokens.shape == (2, 8)
    full = F.normalize(model.text_tower.text(build_tokenizer(SIGLIP, folder)(texts)), dim=-1)
    torch.testing.assert_close(model.embed_texts(tokens), full, rtol=0, atol=1e-6)


def test_padding_back_is_said_once(folder: str, caplog: pytest.LogCaptureFixture) -> None:
    logger = MMLogger.get_instance("padding", log_level="INFO")
    logger.addHandler(caplog.handler)
    model = siglip(folder)
    for _ in range(3):
        model.embed_texts(torch.ones(1, 8, dtype=torch.int64))
    logger.removeHandler(caplog.handler)
    said = [record for record in caplog.records if "token rows are padded back to 16" in record.message]
    assert len(said) == 1


def test_pad_id_can_be_given_without_a_tokenizer() -> None:
    tower = dict(type="CLIPTextTower", model=SIGLIP, pad_id=1)
    model = siglip("", text_tower=tower)
    rows = torch.ones(2, 16, dtype=torch.int64)
    rows[:, 0] = torch.tensor([6, 7])
    torch.testing.assert_close(model.embed_texts(rows[:, :4]), model.embed_texts(rows), rtol=0, atol=0)


def test_pad_id_outside_of_the_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="pad_id=12 is no token of text tower 'custom', whose vocabulary has 12"):
        CLIPTextTower(SIGLIP, pad_id=12)


def test_siglip_trains_on_collated_captions(folder: str) -> None:
    model = siglip(folder).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    data = model.data_preprocessor(batch(folder, ["a red cat", "a blue dog", "the mat", "the cat on the mat"]), True)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = model(**data, mode="loss")["loss_contrast"]
        loss.backward()
        assert [name for name, p in model.named_parameters() if p.grad is None] == []
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_siglip_predicts_embeddings_of_pictures_and_captions(folder: str) -> None:
    model = siglip(folder).eval()
    raw = batch(folder, ["a red cat", "a blue dog"])
    data = model.data_preprocessor(raw)
    samples = model(**data, mode="predict")
    expected = model.embed_texts(build_tokenizer(SIGLIP, folder)(["a red cat", "a blue dog"]))
    assert [sample.sample_id for sample in samples] == raw["ids"].tolist()
    torch.testing.assert_close(torch.cat([sample.text_embeddings for sample in samples]), expected, rtol=0, atol=1e-6)


def test_class_texts_are_the_means_of_their_prompts(folder: str) -> None:
    tower = CLIPTextTower(SIGLIP, tokenizer=folder).eval()
    bank = ClassTextBank(classes=["cat", "dog"], templates=["a photo of the {}", "a red {}"])
    tokenizer = build_tokenizer(SIGLIP, folder)
    embeddings = bank.embeddings(tower)
    for name, own in zip(("cat", "dog"), embeddings, strict=True):
        prompts = F.normalize(tower(tokenizer([f"a photo of the {name}", f"a red {name}"])), dim=-1)
        torch.testing.assert_close(own, F.normalize(prompts.mean(0), dim=0), rtol=0, atol=1e-6)


def checkpoint(path: Path, folder: str) -> Any:
    """A checkpoint as training writes it, and the model in it."""
    model = siglip(folder).eval()
    towers = {
        "image_tower": dict(type="CLIPImageTower", model=SIGLIP, compile=True, grad_checkpointing=True),
        "text_tower": dict(type="CLIPTextTower", model=SIGLIP, tokenizer=folder),
    }
    torch.save({"state_dict": model.state_dict(), "meta": {"clipplus": {"model": towers}}}, path)
    return model


def test_checkpoint_of_a_siglip_embeds_and_classifies(folder: str, tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "siglip.pth", folder)
    loaded = clipplus.load(tmp_path / "siglip.pth", device="cpu")
    tokenizer = build_tokenizer(SIGLIP, folder)
    torch.testing.assert_close(loaded.embed_texts(["a cat"]), model.embed_texts(tokenizer(["a cat"])).detach())
    picture = np.random.default_rng(0).integers(0, 256, (40, 32, 3), dtype=np.uint8)
    assert {name for name, _ in loaded.classify([picture], ["cat", "dog"])[0]} == {"cat", "dog"}


def test_checkpoint_whose_tokenizer_folder_is_gone_says_so(folder: str, tmp_path: Path) -> None:
    checkpoint(tmp_path / "siglip.pth", folder)
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match=rf"tokenizer folder '{folder}' does not exist"):
        clipplus.load(tmp_path / "siglip.pth", device="cpu")
