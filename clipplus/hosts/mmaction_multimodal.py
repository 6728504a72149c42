"""mmaction2's multimodal part calls a function that transformers 5 no longer has."""

import importlib.util


def repair_mmaction_multimodal() -> bool:
    """Switch mmaction2's multimodal models off where they cannot be imported; no method here uses them.

    Must run before `mmaction.models` is imported.

    Returns:
        Whether the repair is needed and now active; False also without mmaction2 or transformers.
    """
    if importlib.util.find_spec("mmaction") is None or importlib.util.find_spec("transformers") is None:
        return False
    from transformers import modeling_utils

    if hasattr(modeling_utils, "apply_chunking_to_forward"):
        return False
    from mmaction.utils import dependency

    dependency.WITH_MULTIMODAL = False
    return True
