"""M2F2-Det (Guo et al., CVPR 2025, arXiv 2503.20188): CLIP with learned forgery prompts beside a trained CNN."""
