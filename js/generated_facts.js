// Facts that Python and the browser share. Written by `python -m devtools.shared_facts` from pusa_core: change them there.

/** Pixel frames per latent frame, after the first one, which stands alone. */
export const STRIDE = 4;

/** Width and height are multiples of this many pixels. */
export const PATCH_PIXELS = 16;

/** Frames per second that Wan was trained on. */
export const WAN_FPS = 16;

/** Pixel frames of the videos that Wan and Pusa were trained on. */
export const TRAINED_LENGTH = 81;

/** What a position counts, as the nodes call it. */
export const LATENT_FRAME = "latent frame";

/** What a position counts, as the nodes call it. */
export const VIDEO_FRAME = "video frame";

/** Tasks of the video injector: extend, prepend, complete, custom. */
export const CLIP_TASKS = ["extend", "prepend", "complete", "custom"];

/** Spacings of the keyframe spreader. */
export const SPACINGS = ["even", "seconds", "video frames", "latent frames"];

/** The DiT embeds timestep = 1000 * sigma. */
export const TIMESTEPS = 1000;

/** Shift that Pusa was trained with and LightX2V distilled for. */
export const SHIFT = 5;

/** Most steps that the nodes take. */
export const MAX_STEPS = 1000;

/** Sigma where Wan2.2 text-to-video changes from the high-noise to the low-noise expert. */
export const BOUNDARY_T2V = 0.875;

/** Nodes that give frames to a latent. */
export const INJECTORS = ["PusaConditionFrames", "PusaConditionVideo", "PusaKeyframes", "PusaTransition", "PusaLoopConditions"];

/** Nodes that give every latent frame timesteps of its own. */
export const FRAME_AWARE = ["PusaSampler", "PusaVectorizedTimesteps", "PusaLongVideo"];

/** The pack's own sampler node. */
export const SAMPLER = "PusaSampler";

/** The node that patches a model for core's samplers. */
export const APPLY = "PusaVectorizedTimesteps";

/** The node that makes the reference's schedule. */
export const SCHEDULER = "PusaScheduler";

/** The node that checks a graph. */
export const DOCTOR = "PusaDoctor";

/** The node that makes a long video. */
export const LONG_VIDEO = "PusaLongVideo";

/** The node that joins Wan2.2's two experts. */
export const SWITCH = "PusaMoESwitch";

/** The loader of Pusa's LoRAs. */
export const PUSA_LOADER = "PusaLoraLoader";

/** The loader of LightX2V's LoRAs. */
export const LIGHTX2V_LOADER = "PusaLightX2VLoader";

/** The pack's LoRA loaders: Pusa's and LightX2V's. */
export const LOADERS = ["PusaLoraLoader", "PusaLightX2VLoader"];

/** An expert, as the nodes call it. */
export const HIGH_NOISE = "high_noise";

/** An expert, as the nodes call it. */
export const LOW_NOISE = "low_noise";

/** The model without experts, as the nodes call it. */
export const WAN21 = "wan2.1";

/** The choice of expert that leaves it to the file. */
export const AUTO = "auto";

/** What a file name says that is for an expert. */
export const EXPERT_NAME_PATTERNS = { high_noise: /(?<![a-z])high(?:[ _.-]?noise|(?![a-z]|[ _.-]?(?:res(?:olution)?|quality|details?|fps|def|motion|v?ram|dynamic)(?![a-z])))/i, low_noise: /(?<![a-z])low(?:[ _.-]?noise|(?![a-z]|[ _.-]?(?:res(?:olution)?|quality|details?|fps|def|motion|v?ram|dynamic)(?![a-z])))/i };

/** What a file name says that is for Wan2.1. */
export const WAN21_PATTERN = /wan[ _.-]?2[ _.-]?1|(?<![a-z])pusa[ _-]?v1(?:\.[a-z]+)?$/i;

/** What a file name says that is for Wan2.2. */
export const WAN22_PATTERN = /wan[ _.-]?2[ _.-]?2/i;

/** Folder of the files that Merge LoRAs writes. */
export const MERGED_FOLDER = "pusa_merged";

/** Nodes whose rate is not that of a video that plays. */
export const NO_VIDEO = /animated|webp|png|gif|image|load|^Pusa/i;

/** Inputs that a latent comes through. */
export const LATENT_INPUT = /latent|samples|^(destination|source|inputs\.input\d+)$/i;

/** ComfyUI's nodes that make a new latent and take over the samples alone. */
export const DROPPING = ["HunyuanRefinerLatent", "HunyuanVideo15LatentUpscaleWithModel", "RebatchLatents"];

/** Of a node that joins latents, the input whose multipliers stay. */
export const KEPT_INPUTS = ["samples_to", "destination", "samples1", "latents.latent0", "inputs.input0", "latent1", "latents1"];

/** Nodes that replace a model's sampling. */
export const SAMPLING_PATCH = /^ModelSampling|^ModelShift|SamplingShift|^PusaVectorizedTimesteps$/i;
