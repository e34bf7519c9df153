// What surrounds an injector in its graph: the latent it fills, the pictures it gets, the run that follows.
import { WAN, baseOfFiles, baseOfLatentNode } from "./bases.js";
import { APPLY, INJECTORS, LINEAR_QUADRATIC, MAX_STEPS, OF_THE_BASE, SAMPLER, SCHEDULER, SWITCH } from "./generated_facts.js";
import { latentFrameCount } from "./latent_frames.js";
import { flowSigmas, highNoiseSteps, linearQuadraticSigmas, simpleSigmas } from "./schedule.js";
import { classOf, sourceOf, targetsOf, valueOf } from "./wires.js";

/** @typedef {import("./bases.js").Base} Base */
/** @typedef {import("./wires.js").Node} Node */
/** @typedef {import("./wires.js").End} End */
/**
 * @typedef {object} Run The steps that a sampler will take.
 * @property {number[]} sigmas steps + 1 values
 * @property {number | null} highSteps steps of the high-noise expert; null where there is one model
 * @property {string} note why the schedule may be another one; empty where it is known
 */

export const [FRAMES_INJECTOR, VIDEO_INJECTOR, KEYFRAMES, TRANSITION, LOOP] = INJECTORS;
export { INJECTORS };
const IMAGE_PASSERS = ["ImageScale", "ImageScaleBy", "ImageScaleToTotalPixels", "ImageScaleToMaxDimension", "ResizeAndPadImage", "ImageCrop", "ImageSharpen", "ImageBlur"];
const IMAGE_JOINERS = ["ImageBatch", "BatchImagesNode"];

/** @param {Node} node */
export function isInjector(node) {
  return INJECTORS.includes(classOf(node));
}

/**
 * The latent that an injector fills.
 * @param {Node} injector
 * @returns {{latentFrames: number, known: boolean, before: Node[], base: Base}} `known` is false where the length was not found and
 *   that of the training videos is assumed; `before` are the injectors upstream, the first one first; `base` is Wan where nothing tells
 */
export function readLatent(injector) {
  const before = [];
  let node = sourceOf(injector, "latent")?.node;
  let base = null;
  for (let hop = 0; node && hop < 100; hop += 1) {
    if (isInjector(node)) before.unshift(node);
    base ??= baseOfLatentNode(node);
    const length = node.widgets?.some(({ name }) => name === "length") ? Number(valueOf(node, "length")) : NaN;
    if (length >= 1) {
      base ??= baseOfFiles(injector) ?? WAN;
      return { latentFrames: latentFrameCount(length, base), known: true, before, base };
    }
    const input = node.inputs?.findIndex(({ type }) => type === "LATENT") ?? -1;
    node = input < 0 ? undefined : sourceOf(node, input)?.node;
  }
  base ??= baseOfFiles(injector) ?? WAN;
  return { latentFrames: latentFrameCount(base.trainedLength, base), known: false, before, base };
}

/**
 * Addresses of the pictures in the order in which an input gets them, as {filename, subfolder, type} of ComfyUI's /view.
 * @param {Node} injector
 * @param {string} [input]
 * @returns {({filename: string, subfolder: string, type: string} | null)[] | null} null entries are unknown pictures, null
 *   alone means that not even their number is known
 */
export function readPictures(injector, input = "images") {
  const source = sourceOf(injector, input);
  return source ? pictures(source, 0) : [];
}

/**
 * @param {End} end
 * @param {number} depth
 * @returns {ReturnType<typeof readPictures>}
 */
function pictures({ node }, depth) {
  const name = classOf(node);
  if (depth > 50) return null;
  if (name === "LoadImage") return [viewOf(String(valueOf(node, "image") ?? ""))];
  if (IMAGE_PASSERS.includes(name)) {
    const source = sourceOf(node, "image") ?? sourceOf(node, "images");
    return source ? pictures(source, depth + 1) : [];
  }
  if (!IMAGE_JOINERS.includes(name)) return null;
  /** @type {NonNullable<ReturnType<typeof readPictures>>} */
  const found = [];
  for (const [slot, { type }] of (node.inputs ?? []).entries()) {
    const source = type === "IMAGE" ? sourceOf(node, slot) : null;
    if (!source) continue;
    const some = pictures(source, depth + 1);
    if (!some) return null;
    found.push(...some);
  }
  return found;
}

/**
 * LoadImage's "folder/name.png [output]" taken apart.
 * @param {string} value
 */
export function viewOf(value) {
  const [, path, type] = /^(.*?)(?: \[(input|output|temp)\])?$/.exec(value) ?? [];
  const slash = path.lastIndexOf("/");
  return { filename: path.slice(slash + 1), subfolder: path.slice(0, Math.max(0, slash)), type: type ?? "input" };
}

/**
 * Frames per second of the video that the graph makes, the base's own where it does not say.
 * @param {Node} injector
 * @param {Base} [base]
 */
export function readFps(injector, base = WAN) {
  const maker = injector.graph?.nodes?.find((node) => classOf(node) === "CreateVideo");
  const fps = Number(maker ? valueOf(maker, "fps") : NaN);
  return fps > 0 ? fps : base.fps;
}

/**
 * The sampler that an injector's latent reaches and the injectors on the way.
 * @param {Node} injector
 * @returns {{sampler: End | null, after: Node[]}}
 */
export function findSampler(injector) {
  /** @type {{end: End, after: Node[]}[]} */
  const waiting = latentTargets(injector).map((end) => ({ end, after: [] }));
  const seen = new Set();
  for (const { end, after } of waiting) {
    if (seen.has(end.node)) continue;
    seen.add(end.node);
    const next = isInjector(end.node) ? [...after, end.node] : after;
    const input = end.node.inputs?.[end.slot]?.name ?? "";
    if (isSampler(end.node) && input.startsWith("latent")) return { sampler: end, after };
    waiting.push(...latentTargets(end.node).map((target) => ({ end: target, after: next })));
  }
  return { sampler: null, after: [] };
}

/** @param {Node} node */
function latentTargets(node) {
  return (node.outputs ?? []).flatMap(({ type }, slot) => (type === "LATENT" ? targetsOf(node, slot) : []));
}

/** @param {Node} node */
function isSampler(node) {
  const names = (node.inputs ?? []).map(({ name }) => name);
  return names.includes("sigmas") || (node.widgets ?? []).some(({ name }) => name === "steps");
}

/**
 * The steps that follow an injector.
 * @param {Node | null} sampler what findSampler found
 * @param {Base} [base] of the latent
 * @returns {Run}
 */
export function readRun(sampler, base = WAN) {
  if (!sampler) return { sigmas: flowSigmas(30), highSteps: null, note: "No sampler is connected yet: shown for 30 steps, shift 5." };
  const [sigmas, note] = readSigmas(sampler, base);
  const boundary = readBoundary(sampler);
  return { sigmas, note, highSteps: boundary === null ? null : highNoiseSteps(sigmas, boundary) };
}

/**
 * @param {Node} sampler
 * @param {Base} base
 * @returns {[number[], string]}
 */
function readSigmas(sampler, base) {
  const given = sourceOf(sampler, "sigmas");
  if (given) {
    const sigmas = classOf(given.node) === SCHEDULER ? scheduleOf(given.node, sourceOf(given.node, "model") ? base : WAN) : null;
    return sigmas ? [sigmas, ""] : guess(given.node, "sets the noise levels");
  }
  if (classOf(sampler) === SAMPLER) {
    const sigmas = scheduleOf(sampler, base);
    if (sigmas) return [sigmas, ""];
  }
  if (valueOf(sampler, "scheduler") === "simple") {
    const sigmas = simpleOf(sampler);
    if (sigmas) return [sigmas, ""];
  }
  return guess(sampler, "decides the noise levels");
}

/**
 * @param {Node} node
 * @param {string} does
 * @returns {[number[], string]}
 */
function guess(node, does) {
  const steps = Math.round(Number(valueOf(node, "steps")));
  const count = steps >= 1 && steps <= MAX_STEPS ? steps : 30;
  return [flowSigmas(count), `${node.title ?? classOf(node)} ${does}: shown for ${count} steps, shift 5.`];
}

/**
 * @param {Node} node with the widgets steps, shift, denoise and schedule
 * @param {Base} base whose schedule "of the base" means
 * @returns {number[] | null}
 */
function scheduleOf(node, base) {
  const [steps, shift, denoise] = ["steps", "shift", "denoise"].map((name) => Number(valueOf(node, name) ?? NaN));
  const strength = Number.isNaN(denoise) ? 1 : denoise;
  const fits = Number.isInteger(steps) && steps >= 1 && steps <= MAX_STEPS && shift >= 1 && strength > 0 && strength <= 1;
  if (!fits) return null;
  const named = valueOf(node, "schedule") ?? OF_THE_BASE;
  const schedule = named === OF_THE_BASE ? base.schedule : named;
  return schedule === LINEAR_QUADRATIC ? linearQuadraticSigmas(steps, strength) : flowSigmas(steps, shift, strength);
}

/**
 * Core's scheduler "simple" on a model whose shift Apply Vectorized Timesteps set.
 * @param {Node} sampler KSampler
 * @returns {number[] | null}
 */
function simpleOf(sampler) {
  const patch = modelChain(sampler).find((node) => classOf(node) === APPLY);
  const shift = patch ? Number(valueOf(patch, "shift")) : NaN;
  const steps = Number(valueOf(sampler, "steps"));
  const denoise = Number(valueOf(sampler, "denoise") ?? 1);
  if (!(shift >= 1) || !Number.isInteger(steps) || steps < 1 || steps > MAX_STEPS || !(denoise > 0)) return null;
  return simpleSigmas(steps, shift, denoise);
}

/**
 * @param {Node} sampler
 * @returns {number | null} the sigma where experts change, null where there is no expert switch
 */
function readBoundary(sampler) {
  const models = modelChain(sampler);
  const change = models.find((node) => classOf(node) === SWITCH);
  const boundary = change ? Number(valueOf(change, "boundary")) : NaN;
  return boundary >= 0 && boundary <= 1 ? boundary : null;
}

/**
 * The nodes a sampler's model comes through, nearest first; through a guider where there is one.
 * @param {Node} sampler
 * @returns {Node[]}
 */
function modelChain(sampler) {
  const found = [];
  let end = sourceOf(sampler, "model") ?? sourceOf(sampler, "guider");
  while (end && found.length < 100) {
    found.push(end.node);
    end = sourceOf(end.node, "model");
  }
  return found;
}
