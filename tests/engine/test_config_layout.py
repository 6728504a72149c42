"""Layouts of a config's text are remembered, and are what they were."""

import importlib

import pytest
from mmengine.config import Config

from clipplus.engine.config_layout import remember_layouts

module = importlib.import_module("mmengine.config.config")


@pytest.fixture
def laid_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that yapf was given."""
    texts: list[str] = []
    plain = getattr(module.FormatCode, "plain", module.FormatCode)

    def noting(text: str, **style):
        texts.append(text)
        return plain(text, **style)

    monkeypatch.setattr(module, "FormatCode", noting)
    return texts


def test_a_config_is_laid_out_once_until_it_changes(laid_out: list[str]) -> None:
    config = Config(dict(model=dict(type="A", widths=[1, 2]), name="x"))
    expected = config.pretty_text
    remember_layouts()
    remember_layouts()
    assert [config.pretty_text, config.copy().pretty_text] == [expected, expected]
    assert len(laid_out) == 2
    config.name = "y"
    assert config.pretty_text == expected.replace("'x'", "'y'")
    assert len(laid_out) == 3
