"""Vectorized timestep adaptation: what teaches a text-to-video DiT that its frames may differ in noise.

Importing this package needs torch alone; accelerate and peft are imported by the modules that train.
"""

from .loss import timestep_table, vta_loss

__all__ = ["timestep_table", "vta_loss"]
