"""Tokenizers, templates, class names and the class-text bank."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
import torch.nn.functional as F

from clipplus.text import ClassTextBank, build_tokenizer, resolve_class_names, resolve_templates
from clipplus.towers import CLIPTextTower

MODEL = dict(
    embed_dim=16,
    quick_gelu=False,
    vision_cfg=dict(image_size=32, patch_size=8, width=32, layers=1, head_width=16),
    text_cfg=dict(context_length=24, vocab_size=49408, width=32, heads=2, layers=1),
)


@pytest.fixture
def tower() -> CLIPTextTower:
    torch.manual_seed(0)
    return CLIPTextTower(MODEL)


def test_tokens_are_open_clips_at_the_models_context() -> None:
    texts = ["A red Star.", "word " * 40]
    tokenizer = build_tokenizer(MODEL)
    torch.testing.assert_close(tokenizer(texts), open_clip.tokenize(texts, context_length=24))
    assert tokenizer.lengths_untruncated(texts) == [6, 42]
    assert build_tokenizer("ViT-B-32").context_length == 77


def test_hub_tokenizer_without_network_says_what_to_supply() -> None:
    with pytest.raises(FileNotFoundError, match=r"tokenizer 'timm/ViT-B-16-SigLIP' cannot be loaded: .*state it"):
        build_tokenizer("ViT-B-16-SigLIP")
    with pytest.raises(FileNotFoundError, match="tokenizer folder 'nowhere' does not exist"):
        build_tokenizer("ViT-B-16-SigLIP", folder="nowhere")


def test_templates_by_name_and_their_errors() -> None:
    assert len(resolve_templates("openai")) == 80
    assert resolve_templates("openai")[0].format("dog") == "a bad photo of a dog."
    with pytest.raises(ValueError, match=r"unknown template set 'opena'; known: name, openai"):
        resolve_templates("opena")
    with pytest.raises(ValueError, match=r"templates need '\{\}' .* \['a photo'\]"):
        resolve_templates(["a photo", "a {}"])


def test_class_names_from_lists_files_and_sets(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cat\n\ndog \n")
    (tmp_path / "names.json").write_text(json.dumps({"train": ["a"], "test": ["b", "c"]}))
    assert resolve_class_names(["x", "y"]) == ["x", "y"]
    assert resolve_class_names(str(tmp_path / "names.txt")) == ["cat", "dog"]
    assert resolve_class_names(f"{tmp_path / 'names.json'}:test") == ["b", "c"]
    assert len(resolve_class_names("imagenet")) == 1000
    with pytest.raises(ValueError, match=r"names.json has the splits train, test; state one as"):
        resolve_class_names(str(tmp_path / "names.json"))
    with pytest.raises(ValueError, match="'imagnet' is neither a class-name set"):
        resolve_class_names("imagnet")
    with pytest.raises(ValueError, match="class names must differ, but 'a' appear twice"):
        resolve_class_names(["a", "b", "a"])


def test_bank_equals_open_clips_recipe(tower: CLIPTextTower) -> None:
    names, templates = ["cat", "dog", "red star"], ["a photo of a {}.", "{}", "the {} here"]
    own = ClassTextBank(names, templates).embeddings(tower)
    for name, embedding in zip(names, own, strict=True):
        tokens = open_clip.tokenize([t.format(name) for t in templates], context_length=24)
        with torch.no_grad():
            expected = F.normalize(F.normalize(tower(tokens), dim=-1).mean(dim=0), dim=0)
        torch.testing.assert_close(embedding, expected, rtol=0, atol=1e-6)


def test_raw_average_is_the_mean_of_unnormalised_features(tower: CLIPTextTower) -> None:
    own = ClassTextBank(["cat"], ["a {}", "{}"], average="raw", normalize=False).embeddings(tower)
    with torch.no_grad():
        expected = tower(open_clip.tokenize(["a cat", "cat"], context_length=24)).mean(dim=0)
    torch.testing.assert_close(own[0], expected, rtol=0, atol=1e-6)


def test_prompts_file_may_hold_different_numbers_per_class(tower: CLIPTextTower, tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text(json.dumps({"cat": ["a cat"], "dog": ["dog", "a big dog"]}))
    bank = ClassTextBank(["dog", "cat"], prompts=str(tmp_path / "prompts.json"))
    torch.testing.assert_close(bank.embeddings(tower)[1], ClassTextBank(["cat"], ["a {}"]).embeddings(tower)[0])
    with pytest.raises(
        ValueError, match=r"prompts.json has no prompts for 2 classes: 'dogs' \(did you .* 'dog'.*, 'x'$"
    ):
        ClassTextBank(["dogs", "x"], prompts=str(tmp_path / "prompts.json")).embeddings(tower)


def test_templates_may_be_added_to_prompts(tower: CLIPTextTower, tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text(json.dumps({"cat": ["a cat"], "dog": []}))
    options = dict(templates=["{}!", "a {}"], prompts=str(tmp_path / "prompts.json"))
    bank = ClassTextBank(["dog", "cat"], add_templates=True, **options)
    assert bank.class_prompts(["dog", "cat"]) == [["dog!", "a dog"], ["cat!", "a cat", "a cat"]]
    # A repeated prompt counts as often as it occurs.
    tokens = build_tokenizer(MODEL)(["cat!", "a cat", "a cat"])
    expected = F.normalize(F.normalize(tower(tokens), dim=-1).mean(0), dim=-1)
    torch.testing.assert_close(bank.embeddings(tower)[1], expected)
    with pytest.raises(ValueError, match="has an empty list for 'dog': write a prompt, or use templates"):
        ClassTextBank(["dog", "cat"], **options).embeddings(tower)
    with pytest.raises(ValueError, match="add_templates=True adds templates to prompts: state prompts"):
        ClassTextBank(["dog"], add_templates=True)


def test_only_frozen_or_final_towers_are_cached(
    tower: CLIPTextTower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPPLUS_CACHE", str(tmp_path))
    bank = ClassTextBank(["cat", "dog"], ["{}"])
    fresh = bank.embeddings(tower)
    assert list(tmp_path.rglob("*.safetensors")) == []
    torch.testing.assert_close(bank.embeddings(tower, cache=True), fresh, rtol=0, atol=0)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    monkeypatch.setattr(bank, "_compute", lambda *_: pytest.fail("computed again"))
    torch.testing.assert_close(bank.embeddings(tower, cache=True), fresh, rtol=0, atol=0)


def test_changed_weights_are_a_cache_miss(
    tower: CLIPTextTower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPPLUS_CACHE", str(tmp_path))
    bank = ClassTextBank(["cat"], ["{}"])
    before = bank.embeddings(tower, cache=True)
    with torch.no_grad():
        tower.ln_final.weight[0] += 1.0
    assert not torch.equal(bank.embeddings(tower, cache=True), before)


def test_bank_without_names_or_tower_says_so(tower: CLIPTextTower) -> None:
    with pytest.raises(ValueError, match="needs a text tower and class names"):
        ClassTextBank().embeddings(tower)
