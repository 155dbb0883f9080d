"""The LLM inside a LLaVA: its configuration, and the names of its tensors among those of the whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...core.errors import DetectorError

KINDS = ("llava", "llava_llama")
"""`model_type` of a LLaVA's configuration, in the form of transformers or of its authors."""
NAMES = {
    r"^(?:model\.)?language_model\.(?:model\.)?(?!lm_head)": "model.",
    r"^language_model\.lm_head\.": "lm_head.",
}
"""Patterns of the LLM's tensors in the form of transformers, and what a plain LLM has in their place."""
_OTHERS = re.compile(r"(model\.)?(vision_tower|multi_modal_projector|mm_projector|image_newline)\b")


def language_arguments(place: str, arguments: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments with which `AutoModelForCausalLM` opens the LLM in a LLaVA; empty for another model.

    `place` is a folder or a name on a hub; `arguments` name a .gguf file, which is never a LLaVA. Raises DetectorError
    for a LLaVA on another LLM than a Llama.
    """
    from transformers import AutoConfig, LlamaConfig, PretrainedConfig

    if arguments:
        return {}
    found, _ = PretrainedConfig.get_config_dict(place)
    if found.get("model_type") not in KINDS:
        return {}
    if isinstance(found.get("text_config"), dict):
        text = AutoConfig.from_pretrained(place, trust_remote_code=False).get_text_config()
    elif "hidden_size" in found:
        text = LlamaConfig(**{key: value for key, value in found.items() if key in _plain()})
    else:
        raise DetectorError(f"'{place}' is a LLaVA whose configuration lacks its LLM: download its config.json again")
    return {"config": text, "key_mapping": NAMES}


def without_others(report: Mapping[str, Iterable[Any]]) -> dict[str, list[Any]]:
    """Return transformers' report of loading without the tensors of image tower and projector."""
    return {kind: [one for one in names if not _OTHERS.match(str(one))] for kind, names in report.items()}


def _plain() -> set[str]:
    """Return the keys of a Llama's configuration; all others in the file are LLaVA's."""
    from transformers import LlamaConfig

    others = {"model_type", "architectures", "transformers_version", "dtype", "torch_dtype"}
    return {*LlamaConfig().to_dict(), "rope_theta", "rope_scaling"} - others
