"""Lets old versions of ComfyUI load the small Wan VAE of the tests, whose width they do not read from the file."""

import inspect


def teach() -> None:
    """Before 0.3.75 ComfyUI builds Wan's VAE 96 wide; here it takes the width from the weights, as newer versions do."""
    import comfy.ldm.wan.vae
    import comfy.sd

    if 'decoder.head.0.gamma"].shape' in inspect.getsource(comfy.sd.VAE.__init__):
        return
    published = comfy.ldm.wan.vae.WanVAE

    class WanVAE(published):
        def __init__(self, **settings):
            super().__init__(**settings)
            self.settings = settings

        def load_state_dict(self, state_dict, *arguments, **options):
            width = state_dict["decoder.head.0.gamma"].shape[0]
            if width != self.settings.get("dim"):
                self.__init__(**{**self.settings, "dim": width})
            return super().load_state_dict(state_dict, *arguments, **options)

    comfy.ldm.wan.vae.WanVAE = WanVAE
