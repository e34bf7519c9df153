"""LoRA files for Wan: every published layout, matched to the model before anything is applied."""
