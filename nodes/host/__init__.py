"""All that this pack knows of ComfyUI's inside, one file a concern; nodes/ and pusa_core/ know nothing of it."""
