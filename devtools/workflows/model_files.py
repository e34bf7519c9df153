"""The weights that the workflows load, published but for one LoRA of the user's own: file name, address and ComfyUI folder.

Every published name is the name on its hub, so that what a loader shows, what ComfyUI's list of missing models offers and what
lands in the folder are one string. The LightX2V pair is Comfy-Org's copy of lightx2v/Wan2.2-Lightning's Seko V1.1:
there both experts' files are called the same, in two folders.
"""

from dataclasses import dataclass

HUB = "https://huggingface.co"


@dataclass(frozen=True)
class ModelFile:
    """One file of weights."""

    repository: str  # empty: the user makes it
    path: str  # inside the repository
    directory: str  # below ComfyUI's models folder
    gigabytes: float | None = None  # where a published figure is known

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def is_published(self) -> bool:
        return bool(self.repository)

    @property
    def url(self) -> str:
        return f"{HUB}/{self.repository}/resolve/main/{self.path}"


WAN21_REPACKAGED = "Comfy-Org/Wan_2.1_ComfyUI_repackaged"
WAN22_REPACKAGED = "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"
KIJAI = "Kijai/WanVideo_comfy"

WAN21_T2V = ModelFile(
    WAN21_REPACKAGED,
    "split_files/diffusion_models/wan2.1_t2v_14B_fp8_scaled.safetensors",
    "diffusion_models",
    14.3,
)
WAN22_HIGH = ModelFile(
    WAN22_REPACKAGED,
    "split_files/diffusion_models/wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors",
    "diffusion_models",
    14.3,
)
WAN22_LOW = ModelFile(
    WAN22_REPACKAGED,
    "split_files/diffusion_models/wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors",
    "diffusion_models",
    14.3,
)
PUSA_WAN21 = ModelFile(KIJAI, "Pusa/Wan21_PusaV1_LoRA_14B_rank512_bf16.safetensors", "loras", 4.9)
PUSA_WAN22_HIGH = ModelFile(
    KIJAI, "Pusa/Wan22_PusaV1_lora_HIGH_resized_dynamic_avg_rank_98_bf16.safetensors", "loras", 0.95
)
PUSA_WAN22_LOW = ModelFile(
    KIJAI, "Pusa/Wan22_PusaV1_lora_LOW_resized_dynamic_avg_rank_98_bf16.safetensors", "loras", 0.97
)
LIGHTX2V_HIGH = ModelFile(
    WAN22_REPACKAGED,
    "split_files/loras/wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise.safetensors",
    "loras",
)
LIGHTX2V_LOW = ModelFile(
    WAN22_REPACKAGED,
    "split_files/loras/wan2.2_t2v_lightx2v_4steps_lora_v1.1_low_noise.safetensors",
    "loras",
)
UMT5 = ModelFile(
    WAN21_REPACKAGED,
    "split_files/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "text_encoders",
    6.5,
)
WAN_VAE = ModelFile(WAN21_REPACKAGED, "split_files/vae/wan_2.1_vae.safetensors", "vae", 0.25)
TRAINED_LORA = ModelFile("", "run_my_lora_pusa.safetensors", "loras")
"""What a training with the defaults of Pusa Training Config writes."""
