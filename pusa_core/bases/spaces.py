"""In which space given frames go into the model."""

NORMALISED, REFERENCE = LATENT_SPACES = ("normalised", "reference")
"""The space the model was trained in, and the one the authors' script uses: the same but for Mochi, where Pusa V0.5's script
gives the model its VAE's raw latents."""
