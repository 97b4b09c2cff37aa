"""Recognise other networks by the names of their parameters.

The names are those of each network's own code, as spandrel's architectures/ and BasicSR's archs/ collect it.
"""

import re
from collections.abc import Iterable

_DISCRIMINATOR = "a discriminator, which judges pictures and draws none"

_TELLING = {
    "HAT": r"overlap_attn\.|conv_block\.cab\.|relative_position_index_OCA",
    "SRFormer": r"attn\.aligned_relative_position_index",
    "Swin2SR": r"residual_group\.blocks\.\d+\.attn\.(logit_scale|cpb_mlp)",
    "ATD": r"attn_atd\.|attn_aca\.",
    "SwinIR": r"residual_group\.blocks\.\d+\.(norm1|attn\.)",
    "DAT": r"before_RG\.|layers\.\d+\.blocks\.\d+\.attn\.attns\.",
    "OmniSR": r"residual_layer\.\d+\.residual_layer\.",
    "RealPLKSR": r"feats\.\d+\.(channe_mixer|channel_mixer|lk|dwconv|refine)\.",
    "SPAN": r"block_\d+\.c\d+_r\.",
    "RCAN": r"(body|rcab)\.\d+\.(body|rcab)\.\d+\.(body|rcab)\.|conv_du\.|rg\.\d+\.rcab",
    "EDSR": r"body\.\d+\.(body\.[02]|conv[12])\.weight|sub_mean\.weight|conv_after_body\.",
    "Real-CUGAN": r"unet[12]\.conv\d?\.?",
    "Restormer or another network with encoder and decoder": r"encoder_level\d|decoder_level\d|patch_embed\.proj",
    "a diffusion model": r"diffusion_model\.|time_embed\.|first_stage_model\.",
    f"an A-ESRGAN discriminator ({_DISCRIMINATOR})": r"attn_\d+\.(theta|phi|W)\.|gating\.",
    f"Real-ESRGAN's U-Net with spectral norm ({_DISCRIMINATOR})": r"conv\d\.weight_(orig|u)",
    f"a VGG-style discriminator ({_DISCRIMINATOR})": r"conv0_[01]\.weight|bn0_1\.|classifier\.\d|linear[12]\.weight",
    "a VGG network of a perceptual loss": r"features\.\d+\.weight|vgg\w*\.",
}

_PATTERNS = {name: re.compile(rf"(^|\.)({names})", re.MULTILINE) for name, names in _TELLING.items()}


def recognise(names: Iterable[str]) -> str | None:
    """Return the network with such parameter names, or None."""
    listed = "\n".join(map(str, names))
    return next((name for name, pattern in _PATTERNS.items() if pattern.search(listed)), None)
