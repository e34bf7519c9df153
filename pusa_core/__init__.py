"""Pusa's per-frame timesteps in plain torch; nothing here knows ComfyUI."""
