// Facts that Python and the browser share. Written by `python -m devtools.shared_facts` from pusa_core: change them there.

/** The bases, see pusa_core/bases: what counts frames, and how a graph shows which one it is for. The first one is Wan's. */
export const BASES = [{ id: "wan", short: "Wan", stride: 4, groups: "four", lengths: "4n + 1", sizeMultiple: 16, fps: 16, trainedLength: 81, schedule: "flow", latentNodes: ["EmptyHunyuanLatentVideo"], files: /wan[ _.-]?2[ _.-]?1|14b|1[._]3b|skyreels/i }, { id: "wan22_5b", short: "Wan2.2 5B", stride: 4, groups: "four", lengths: "4n + 1", sizeMultiple: 32, fps: 24, trainedLength: 121, schedule: "flow", latentNodes: ["Wan22ImageToVideoLatent"], files: /ti2v|wan[ _.-]?2[ _.-]?2[ _.-]?vae|(?<![0-9])5b/i }, { id: "mochi", short: "Mochi", stride: 6, groups: "six", lengths: "6n + 1", sizeMultiple: 16, fps: 30, trainedLength: 163, schedule: "linear quadratic", latentNodes: ["EmptyMochiLatentVideo"], files: /mochi|pusa[ _.-]?v0/i }, { id: "ltxv", short: "LTX-Video", stride: 8, groups: "eight", lengths: "8n + 1", sizeMultiple: 32, fps: 25, trainedLength: 257, schedule: "flow", latentNodes: ["EmptyLTXVLatentVideo", "LTXVImgToVideo"], files: /ltx[ _.-]?v/i }];

/** What a position counts, as the nodes call it. */
export const LATENT_FRAME = "latent frame";

/** What a position counts, as the nodes call it. */
export const VIDEO_FRAME = "video frame";

/** Tasks of the video injector: extend, prepend, complete, custom. */
export const CLIP_TASKS = ["extend", "prepend", "complete", "custom"];

/** Kinds of a loop with given frames. */
export const LOOPS = ["still", "rolled still", "clip"];

/** Spacings of the keyframe spreader. */
export const SPACINGS = ["even", "seconds", "video frames", "latent frames"];

/** The DiT embeds timestep = 1000 * sigma. */
export const TIMESTEPS = 1000;

/** Shift that Pusa was trained with and LightX2V distilled for. */
export const SHIFT = 5;

/** The choice of schedule that leaves it to the model. */
export const OF_THE_BASE = "of the base";

/** Mochi's schedule, as the nodes call it. */
export const LINEAR_QUADRATIC = "linear quadratic";

/** Share of the picture that the first half of the linear-quadratic schedule makes. */
export const THRESHOLD = 0.025;

/** Most steps that the nodes take. */
export const MAX_STEPS = 1000;

/** Sigma where Wan2.2 text-to-video changes from the high-noise to the low-noise expert. */
export const BOUNDARY_T2V = 0.875;

/** Nodes that give frames to a latent. */
export const INJECTORS = ["PusaConditionFrames", "PusaConditionVideo", "PusaKeyframes", "PusaTransition", "PusaLoopConditions"];

/** Nodes that give every latent frame timesteps of its own. */
export const FRAME_AWARE = ["PusaSampler", "PusaVectorizedTimesteps", "PusaLongVideo", "PusaDirector"];

/** The pack's own sampler node. */
export const SAMPLER = "PusaSampler";

/** The node that patches a model for core's samplers. */
export const APPLY = "PusaVectorizedTimesteps";

/** The node that turns a loop along time while it is sampled. */
export const LOOP_MODEL = "PusaLoopModel";

/** The node that decodes a loop. */
export const LOOP_DECODE = "PusaLoopDecode";

/** Kinds of a loop's latent, as it decodes them. */
export const LOOP_LATENTS = ["rolled", "still at both ends"];

/** The node that makes the reference's schedule. */
export const SCHEDULER = "PusaScheduler";

/** The node that checks a graph. */
export const DOCTOR = "PusaDoctor";

/** The node that tries settings on one picture. */
export const SWEEP = "PusaSweep";

/** The node that makes a long video from a project. */
export const DIRECTOR = "PusaDirector";

/** The node that works through a folder of pictures. */
export const FOLDER = "PusaFolder";

/** The node that makes a long video. */
export const LONG_VIDEO = "PusaLongVideo";

/** Nodes that write a video of their own. */
export const VIDEO_MAKERS = ["PusaLongVideo", "PusaDirector"];

/** The node that joins Wan2.2's two experts. */
export const SWITCH = "PusaMoESwitch";

/** The node that chooses between a distilled and a full model, with their steps and cfg. */
export const SPEED = "PusaSpeed";

/** Its ways, with `fast` on and off. */
export const SPEED_WAYS = ["fast", "full"];

/** What it hands out; each way has an input for it, such as fast_steps. */
export const SPEED_OUTPUTS = ["model", "steps", "cfg"];

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
export const EXPERT_NAME_PATTERNS = { high_noise: /(?<![a-z])high(?:[ _.-]?noise|(?![a-z]|[ _.-]?(?:res(?:olution)?|quality|details?|fps|def(?:inition)?|motion|v?ram|mem(?:ory)?|dynamic|ranks?|dims?|alpha|lr|cfg|steps?|strength|weight|scale|contrast|light(?:ing)?|key|angle|shot|speed|poly|budget|bit(?:rate)?|precision|fidelity|freq(?:uency)?|saturation|exposure|heels?|school|fashion|fantasy|pass)(?![a-z])))/i, low_noise: /(?<![a-z])low(?:[ _.-]?noise|(?![a-z]|[ _.-]?(?:res(?:olution)?|quality|details?|fps|def(?:inition)?|motion|v?ram|mem(?:ory)?|dynamic|ranks?|dims?|alpha|lr|cfg|steps?|strength|weight|scale|contrast|light(?:ing)?|key|angle|shot|speed|poly|budget|bit(?:rate)?|precision|fidelity|freq(?:uency)?|saturation|exposure|heels?|school|fashion|fantasy|pass)(?![a-z])))/i };

/** An expert named in full, which counts in a Wan2.1 file's name too. */
export const EXPERT_WHOLE_TERMS = { high_noise: /high[ _.-]?noise/i, low_noise: /low[ _.-]?noise/i };

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

/** Version of the Director's project text. */
export const PROJECT_VERSION = 1;

/** What a project has where its text does not say. */
export const PROJECT_DEFAULTS = { window: 81, overlap: 13, noise_multipliers: "0..0.2", colour: "before", resize: "crop", prompts_by: "window" };

/** What a project's clip has where its text does not say. */
export const CLIP_DEFAULTS = { frames: 13, multiplier: 0.2 };

/** What a retake and a candidate add to a window's seed. */
export const SEED_STEPS = { retake: 1000000, candidate: 1000 };

/** What each window's colours are brought to. */
export const PROJECT_COLOURS = ["before", "first", "anchor", "off"];

/** What follows a prompt as a whole: a window, or each latent frame of it. */
export const PROMPT_STEPS = ["window", "frame"];

/** How pictures of other proportions become the video's size. */
export const PROJECT_RESIZES = ["crop", "letterbox", "stretch"];

/** Experts that a window's LoRA can be for. */
export const EXPERT_CHOICES = ["auto", "high_noise", "low_noise"];

/** Most windows of a project. */
export const MOST_WINDOWS = 10000;

/** Most candidates of a window. */
export const MOST_CANDIDATES = 64;
