// Where the windows of a project lie in the video, and what each one is made with.
import { PROJECT_DEFAULTS } from "./generated_facts.js";

/** @typedef {import("./bases.js").Base} Base */
/** @typedef {import("./director_project.js").Project} Project */
/** @typedef {import("./director_project.js").ProjectWindow} ProjectWindow */
/**
 * @typedef {object} Place One window in the video; all numbers are video frames.
 * @property {string} id
 * @property {number} index
 * @property {number} start its first frame
 * @property {number} given frames that it takes over from the window before
 * @property {number} firstNew its first frame that no window before it has
 * @property {number} length frames that the model makes
 * @property {number} end the frame after its last one
 *
 * @typedef {{windows: Place[], total: number}} Plan total: video frames
 */

/**
 * A whole length of the base, the nearest one.
 * @param {number} frames
 * @param {Base} base
 */
export function nearestWhole(frames, base) {
  return base.stride * Math.max(0, Math.round((frames - 1) / base.stride)) + 1;
}

/**
 * Frames of a window that sets none.
 * @param {Project} project
 */
export function windowLength(project) {
  return frameCount(project.window) ?? PROJECT_DEFAULTS.window;
}

/**
 * Frames that a window shares with the one before where it does not say.
 * @param {Project} project
 */
export function windowOverlap(project) {
  return frameCount(project.overlap) ?? PROJECT_DEFAULTS.overlap;
}

/**
 * @param {Project} project
 * @returns {Plan}
 */
export function planOf(project) {
  /** @type {Place[]} */
  const windows = [];
  let end = 0;
  project.windows.forEach((window, index) => {
    const length = frameCount(window.length) ?? windowLength(project);
    const overlap = frameCount(window.overlap) ?? windowOverlap(project);
    const given = index === 0 ? 0 : Math.min(overlap, length - 1, end);
    const start = end - given;
    end = start + length;
    windows.push({ id: window.id, index, start, given, firstNew: start + given, length, end });
  });
  return { windows, total: end };
}

/**
 * The window that makes a frame: the first one that shows it.
 * @param {Plan} plan
 * @param {number} frame
 * @returns {Place | null}
 */
export function placeAt(plan, frame) {
  return plan.windows.find(({ firstNew, end }) => frame >= firstNew && frame < end) ?? null;
}

/**
 * The prompt that a window follows: its own, else the one that holds in the middle of its new frames, else that of the window before.
 * @param {Project} project
 * @param {Plan} plan
 * @param {number} index
 * @param {number} fps
 * @returns {string}
 */
export function promptOf(project, plan, index, fps) {
  for (let i = index; i >= 0; i -= 1) {
    const own = project.windows[i]?.prompt;
    if (typeof own === "string") return own;
    if (project.prompts?.length) return timedPrompt(project.prompts, plan.windows[i], fps);
  }
  return "";
}

/**
 * @param {NonNullable<Project["prompts"]>} prompts
 * @param {Place} place
 * @param {number} fps
 */
function timedPrompt(prompts, { firstNew, end }, fps) {
  return holdsAt(prompts, (firstNew + end - 1) / 2 / fps);
}

/**
 * @param {NonNullable<Project["prompts"]>} prompts
 * @param {number} second
 */
function holdsAt(prompts, second) {
  const sorted = [...prompts].sort((a, b) => a.at - b.at);
  const held = sorted.filter(({ at }) => at <= second);
  return String((held[held.length - 1] ?? sorted[0]).text ?? "");
}

/**
 * Where several prompts hold inside a window, one after the other: video frame of the window and text; empty for one prompt. The node rounds to
 * latent frames.
 * @param {Project} project
 * @param {Plan} plan
 * @param {number} index
 * @param {number} fps
 * @returns {[number, string][]}
 */
export function promptSpans(project, plan, index, fps) {
  const { start, length } = plan.windows[index];
  if (project.prompts_by !== "frame" || typeof project.windows[index].prompt === "string" || !project.prompts?.length) return [];
  /** @type {[number, string][]} */
  const spans = [];
  for (let frame = 0; frame < length; frame += 1) {
    const text = holdsAt(project.prompts, (start + frame) / fps);
    if (!spans.length || spans[spans.length - 1][1] !== text) spans.push([frame, text]);
  }
  return spans.length > 1 ? spans : [];
}

/** @param {unknown} value */
function frameCount(value) {
  return typeof value === "number" && value >= 1 ? Math.round(value) : null;
}
