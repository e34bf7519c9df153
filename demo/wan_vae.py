"""A Wan 2.1 VAE of any width, in plain torch, that trains fast on a CPU and whose files ComfyUI's VAELoader reads.

Parameter names and results are those of Wan's own VAE (Wan-Video/Wan2.1, wan/modules/vae.py); there a clip is encoded
and decoded in chunks with a cache, here all frames at once: each causal 3-D convolution is a 2-D convolution over three
stacked frames, and frames ride in the batch. Two simplifications are part of the demo model, not of the format: some
layers stay at values that make them do nothing (see `StillConv`, `ResidualBlock.is_identity`), which a file stores as zeros.

Inside the modules a clip is [B, T, C, H, W], T pixel or latent frames.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from einops import rearrange
from torch import Tensor, nn

LATENT_CHANNELS = 16
# Mean and spread of Wan 2.1's latents per channel (Wan-Video/Wan2.1 wan/modules/vae.py; ComfyUI latent_formats.Wan21).
LATENT_MEAN = torch.tensor(
    [
        -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
        0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
    ]
)  # fmt: skip
LATENT_STD = torch.tensor(
    [
        2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
        3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
    ]
)  # fmt: skip


def to_model_space(latent: Tensor) -> Tensor:
    """VAE latent [B, C, F, H, W] to the DiT's normalised space (ComfyUI: Wan21.process_in)."""
    return (latent - LATENT_MEAN.view(1, -1, 1, 1, 1)) / LATENT_STD.view(1, -1, 1, 1, 1)


def to_vae_space(latent: Tensor) -> Tensor:
    """The DiT's normalised latent [B, C, F, H, W] back to what the VAE decodes (ComfyUI: Wan21.process_out)."""
    return latent * LATENT_STD.view(1, -1, 1, 1, 1) + LATENT_MEAN.view(1, -1, 1, 1, 1)


class CausalConv(nn.Module):
    """A 3-D convolution that sees the current and the two earlier frames. [B, T, C, H, W] -> [B, T, C', H, W]."""

    def __init__(self, channels_in: int, channels_out: int, time: int = 3, space: int = 3):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels_out, channels_in, time, space, space))
        self.bias = nn.Parameter(torch.zeros(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        taps = self.weight.shape[2]
        frames = x.shape[1]
        before = F.pad(x, (0, 0, 0, 0, 0, 0, taps - 1, 0))
        return self.stacked(torch.cat([before[:, tap : tap + frames] for tap in range(taps)], dim=2))

    def stacked(self, x: Tensor) -> Tensor:
        """x: [B, T, taps * C, H, W], the frames of each tap beside one another."""
        weight = rearrange(self.weight, "o c t h w -> o (t c) h w")
        return _over_frames(
            x, lambda frames: F.conv2d(frames, weight, self.bias, padding=weight.shape[-1] // 2)
        )


class StillConv(CausalConv):
    """A CausalConv that only sees the current frame: its earlier taps are zero and stay zero."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight[:, :, -1]
        return _over_frames(
            x, lambda frames: F.conv2d(frames, weight, self.bias, padding=weight.shape[-1] // 2)
        )


def _over_frames(x: Tensor, layer) -> Tensor:
    """Apply a 2-D layer to every frame of [B, T, C, H, W]."""
    frames = rearrange(x, "b t c h w -> (b t) c h w").contiguous(memory_format=torch.channels_last)
    return rearrange(layer(frames), "(b t) c h w -> b t c h w", b=len(x))


class ChannelNorm(nn.Module):
    """Wan's RMS_norm: every pixel's channels scaled to unit mean square, times gamma."""

    def __init__(self, channels: int, ones: int = 3):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * ones))

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.float().square().mean(2, keepdim=True) + 1e-12)
        return x * scale.to(x.dtype) * self.gamma.view(-1, 1, 1).to(x.dtype)


class ResidualBlock(nn.Module):
    """Two normalised convolutions beside a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, still: bool, is_identity: bool):
        super().__init__()
        conv = StillConv if still else CausalConv
        self.residual = nn.Sequential(
            ChannelNorm(channels_in),
            nn.SiLU(),
            conv(channels_in, channels_out),
            ChannelNorm(channels_out),
            nn.SiLU(),
            nn.Identity(),  # Wan's dropout: keeps the numbers in the parameter names
            conv(channels_out, channels_out),
        )
        changes_width = channels_in != channels_out
        assert not (is_identity and changes_width)
        self.shortcut = (
            StillConv(channels_in, channels_out, time=1, space=1) if changes_width else nn.Identity()
        )
        self.is_identity = is_identity
        if is_identity:  # the last convolution is zero for ever, so the block need not be computed
            self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return x if self.is_identity else self.shortcut(x) + self.residual(x)


class IdentityAttention(nn.Module):
    """The place of Wan's attention block in the middle; its output projection is zero, so it does nothing."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = ChannelNorm(channels, ones=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)
        for conv in (self.to_qkv, self.proj):
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(conv.bias)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return x


class Downsample(nn.Module):
    """Half the height and width; with `in_time` also 1 + 2n frames to 1 + n."""

    def __init__(self, channels: int, in_time: bool):
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))
        if in_time:
            self.time_conv = CausalConv(channels, channels, space=1)
        self.in_time = in_time

    def forward(self, x: Tensor) -> Tensor:
        x = _over_frames(x, self.resample)
        if not self.in_time or x.shape[1] == 1:
            return x
        first, last = x[:, :1], x.shape[1] - 1
        rest = self.time_conv.stacked(torch.cat([x[:, tap : last + tap : 2] for tap in range(3)], 2))
        return torch.cat([first.to(rest.dtype), rest], dim=1)


class Upsample(nn.Module):
    """Double height and width, halve the channels; with `in_time` also 1 + n frames to 1 + 2n."""

    def __init__(self, channels: int, in_time: bool):
        super().__init__()
        self.resample = nn.Sequential(
            nn.Upsample(scale_factor=2.0, mode="nearest-exact"),
            nn.Conv2d(channels, channels // 2, 3, padding=1),
        )
        if in_time:
            self.time_conv = CausalConv(channels, 2 * channels, space=1)
        self.in_time = in_time

    def forward(self, x: Tensor) -> Tensor:
        if self.in_time and x.shape[1] > 1:  # frame 0 stays one frame, and the rest does not see it
            rest = rearrange(self.time_conv(x[:, 1:]), "b t (two c) h w -> b (t two) c h w", two=2)
            x = torch.cat([x[:, :1].to(rest.dtype), rest], dim=1)
        return _over_frames(x, self.resample)


class WanVAE(nn.Module):
    """Clips to latents and back: 8 x 8 pixels and 4 frames (the first frame alone) to one position of 16 channels."""

    def __init__(self, dim: int = 8):
        super().__init__()
        self.encoder = Encoder(dim)
        self.conv1 = StillConv(2 * LATENT_CHANNELS, 2 * LATENT_CHANNELS, time=1, space=1)
        self.conv2 = StillConv(LATENT_CHANNELS, LATENT_CHANNELS, time=1, space=1)
        self.decoder = Decoder(dim)

    def encode(self, video: Tensor) -> Tensor:
        """video: [B, 3, 1 + 4n, H, W] in [-1, 1]. Returns the latent's mean, [B, 16, 1 + n, H / 8, W / 8]."""
        features = self.conv1(self.encoder(rearrange(video, "b c t h w -> b t c h w")))
        return rearrange(features[:, :, :LATENT_CHANNELS], "b t c h w -> b c t h w")

    def decode(self, latent: Tensor) -> Tensor:
        """latent: [B, 16, 1 + n, h, w]. Returns [B, 3, 1 + 4n, 8h, 8w], about [-1, 1]."""
        video = self.decoder(self.conv2(rearrange(latent, "b c t h w -> b t c h w")))
        return rearrange(video, "b t c h w -> b c t h w")


class Encoder(nn.Module):
    """[B, T, 3, H, W] to [B, 1 + T // 4, 32, H / 8, W / 8]. Block numbers are those of Wan's encoder."""

    def __init__(self, dim: int):
        super().__init__()
        full, half, quarter, eighth = dim, 2 * dim, 4 * dim, 4 * dim
        self.conv1 = StillConv(3, full)
        self.downsamples = nn.Sequential(
            ResidualBlock(full, full, still=True, is_identity=False),
            ResidualBlock(full, full, still=True, is_identity=True),
            Downsample(full, in_time=False),
            ResidualBlock(full, half, still=True, is_identity=False),
            ResidualBlock(half, half, still=True, is_identity=True),
            Downsample(half, in_time=True),
            ResidualBlock(half, quarter, still=False, is_identity=False),
            ResidualBlock(quarter, quarter, still=False, is_identity=True),
            Downsample(quarter, in_time=True),
            ResidualBlock(quarter, eighth, still=False, is_identity=False),
            ResidualBlock(eighth, eighth, still=False, is_identity=False),
        )
        self.middle = _middle(eighth)
        self.head = nn.Sequential(ChannelNorm(eighth), nn.SiLU(), CausalConv(eighth, 2 * LATENT_CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.downsamples(self.conv1(x))))


class Decoder(nn.Module):
    """[B, 1 + n, 16, h, w] to [B, 1 + 4n, 3, 8h, 8w]. Block numbers are those of Wan's decoder."""

    def __init__(self, dim: int):
        super().__init__()
        eighth, quarter, half, full = 4 * dim, 4 * dim, 2 * dim, dim
        self.conv1 = CausalConv(LATENT_CHANNELS, eighth)
        self.middle = _middle(eighth)
        self.upsamples = nn.Sequential(
            ResidualBlock(eighth, eighth, still=False, is_identity=False),
            ResidualBlock(eighth, eighth, still=False, is_identity=False),
            ResidualBlock(eighth, eighth, still=False, is_identity=True),
            Upsample(eighth, in_time=True),
            ResidualBlock(eighth // 2, quarter, still=False, is_identity=False),
            ResidualBlock(quarter, quarter, still=False, is_identity=False),
            ResidualBlock(quarter, quarter, still=False, is_identity=True),
            Upsample(quarter, in_time=True),
            ResidualBlock(quarter // 2, half, still=True, is_identity=False),
            ResidualBlock(half, half, still=True, is_identity=False),
            ResidualBlock(half, half, still=True, is_identity=True),
            Upsample(half, in_time=False),
            ResidualBlock(half // 2, full, still=True, is_identity=False),
            ResidualBlock(full, full, still=True, is_identity=False),
            ResidualBlock(full, full, still=True, is_identity=True),
        )
        self.head = nn.Sequential(ChannelNorm(full), nn.SiLU(), StillConv(full, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.upsamples(self.middle(self.conv1(x))))


def _middle(channels: int) -> nn.Sequential:
    return nn.Sequential(
        ResidualBlock(channels, channels, still=False, is_identity=False),
        IdentityAttention(channels),
        ResidualBlock(channels, channels, still=False, is_identity=False),
    )


@torch.no_grad()
def initialise(vae: WanVAE) -> None:
    """Start close to "average the pixels, then repeat them": colour and coarse place pass from the first step on.

    Without it a CPU-sized training run finds no colours for hundreds of steps. Uses torch's global generator.
    """
    for module in vae.modules():
        if isinstance(module, CausalConv):
            kept = module.weight[:, :, -1]
            kept.normal_(std=(kept.shape[1] * kept.shape[2] * kept.shape[3]) ** -0.5)
        elif isinstance(module, Downsample | Upsample):
            conv = module.resample[1]
            conv.weight.normal_(std=(9 * conv.in_channels) ** -0.5)
            conv.bias.zero_()
    for module in vae.modules():
        if isinstance(module, ResidualBlock):
            module.residual[6].weight.mul_(0.0 if module.is_identity else 0.3)
            if not isinstance(module.shortcut, nn.Identity):
                _add_identity(module.shortcut.weight[:, :, -1])
        elif isinstance(module, Downsample | Upsample):
            _add_identity(module.resample[1].weight, average=isinstance(module, Downsample))
            if module.in_time:
                _initialise_time_conv(module.time_conv.weight)
    for conv in (
        vae.conv1,
        vae.conv2,
        vae.encoder.conv1,
        vae.encoder.head[2],
        vae.decoder.conv1,
        vae.decoder.head[2],
    ):
        _add_identity(conv.weight[:, :, -1])


def _add_identity(weight: Tensor, average: bool = False) -> None:
    """Add, in place, a copy of the input (or its 2 x 2 average) to a weakened random 2-D kernel [C', C, k, k]."""
    weight.mul_(0.3)
    channel = torch.arange(min(weight.shape[:2]))
    if average:
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            weight[channel, channel, row, column] += 0.25
    else:
        centre = weight.shape[-1] // 2
        weight[channel, channel, centre, centre] += 1.0


def _initialise_time_conv(weight: Tensor) -> None:
    """[n * C, C, 3, 1, 1]: the mean of three frames (n = 1, going down) or two copies of a frame (n = 2, going up)."""
    channels = weight.shape[1]
    channel = torch.arange(channels)
    weight.normal_(std=0.3 * (3 * channels) ** -0.5)
    if len(weight) == channels:
        weight[channel, channel] += 1 / 3
    else:
        for half in range(2):
            weight[half * channels + channel, channel, 2] += 1.0


@torch.no_grad()
def match_latent_statistics(vae: WanVAE, mean: Tensor, std: Tensor) -> None:
    """Rescale the latents exactly to Wan 2.1's statistics; what the VAE reconstructs does not change.

    mean, std: [16], measured on this VAE's own latents.
    """
    scale = LATENT_STD / std
    rescale_latents(vae, scale, LATENT_MEAN - scale * mean)


@torch.no_grad()
def rescale_latents(vae: WanVAE, scale: Tensor, offset: Tensor) -> None:
    """Make the latents scale times what they are plus offset, [16] each, and decode them as before.

    The two 1 x 1 convolutions around the latent absorb the map.
    """
    vae.conv1.weight[:LATENT_CHANNELS] *= scale.view(-1, 1, 1, 1, 1)
    vae.conv1.bias[:LATENT_CHANNELS] = vae.conv1.bias[:LATENT_CHANNELS] * scale + offset
    vae.conv2.bias -= vae.conv2.weight[:, :, 0, 0, 0] @ (offset / scale)
    vae.conv2.weight /= scale.view(1, -1, 1, 1, 1)


def load_vae(weights: Mapping[str, Tensor]) -> WanVAE:
    """The VAE of a demo file, in float32. Refuses a file whose layers do more than this module computes."""
    vae = WanVAE(dim=len(weights["decoder.head.0.gamma"]))
    vae.load_state_dict({key: value.float() for key, value in weights.items()})
    for name, module in vae.named_modules():
        idle = []
        if isinstance(module, StillConv):
            idle = [module.weight[:, :, :-1]]
        elif isinstance(module, ResidualBlock) and module.is_identity:
            idle = [module.residual[6].weight, module.residual[6].bias]
        elif isinstance(module, IdentityAttention):
            idle = [module.proj.weight, module.proj.bias]
        if any(bool(values.any()) for values in idle):
            raise ValueError(
                f"{name} is in use in this VAE file; only files of the demo's own training load here."
            )
    return vae.eval()
