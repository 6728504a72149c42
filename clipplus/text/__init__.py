"""Texts around the towers: tokenizers, prompt templates, class names and their embeddings."""

from clipplus.text.bank import ClassTextBank
from clipplus.text.class_names import CLASS_SETS, resolve_class_names
from clipplus.text.templates import TEMPLATE_SETS, resolve_templates
from clipplus.text.tokenizer import Tokenizer, build_tokenizer

__all__ = [
    "CLASS_SETS",
    "TEMPLATE_SETS",
    "ClassTextBank",
    "Tokenizer",
    "build_tokenizer",
    "resolve_class_names",
    "resolve_templates",
]
