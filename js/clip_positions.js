// Where the frames of clips go: tasks and transitions as pusa_core/clips plans them, a still loop as pusa_core/loop.py.
import { WAN } from "./bases.js";
import { CLIP_TASKS, LOOPS } from "./generated_facts.js";
import { PusaError, latentFrameCount, parsePositions, quoted, videoLength } from "./latent_frames.js";

/** @typedef {import("./bases.js").Base} Base */

export const [EXTEND, PREPEND, COMPLETE, CUSTOM] = CLIP_TASKS;
export const [, ROLLED_STILL, CLIP_LOOP] = LOOPS;

/**
 * Latent frames that the tasks extend and prepend fill.
 * @param {string} task "extend" or "prepend"
 * @param {number} latentFrames of the video
 * @param {number} contextFrames pixel frames that clip and video share, a whole length
 * @param {Base} [base]
 * @returns {number[]}
 */
export function clipPositions(task, latentFrames, contextFrames, base = WAN) {
  checkContext(contextFrames, latentFrames, base);
  const count = latentFrameCount(contextFrames, base);
  if (task === EXTEND) return Array.from({ length: count }, (_, i) => i);
  if (count === 1) {
    throw new PusaError(
      `context_frames is 1, but the end of a video is given in groups of ${base.groups} frames after one: ` +
        `use ${[2, 3, 4].map((count) => videoLength(count, base)).join(", ")} or more.`,
    );
  }
  return Array.from({ length: count - 1 }, (_, i) => latentFrames - count + 1 + i);
}

/**
 * Latent frames that a transition fills: the end of one clip first, the start of another last.
 * @param {number} latentFrames of the video
 * @param {number} contextFrames pixel frames that each clip shares with the video, a whole length
 * @param {Base} [base]
 * @returns {number[]}
 */
export function transitionPositions(latentFrames, contextFrames, base = WAN) {
  const tail = clipPositions(EXTEND, latentFrames, contextFrames, base);
  const head = clipPositions(PREPEND, latentFrames, contextFrames, base);
  const given = [...tail, ...head];
  if (tail[tail.length - 1] >= head[0] - 1) {
    throw new PusaError(
      `context_frames is ${contextFrames} at both ends, which leaves nothing to generate between them in a video of ` +
        `${videoLength(latentFrames, base)} frames. Use fewer, or a length of ${videoLength(given.length + 1, base)} or more.`,
    );
  }
  return given;
}

/**
 * Latent frames at which a loop from a still shows its picture: at both ends, a rolled one at the first.
 * @param {string} kind "still" or "rolled still"
 * @param {number} latentFrames of the video
 * @param {Base} [base]
 * @returns {number[]}
 */
export function stillPositions(kind, latentFrames, base = WAN) {
  const positions = kind === ROLLED_STILL ? [0] : [0, latentFrames - 1];
  if (latentFrames <= positions.length) {
    throw new PusaError(
      `A loop from a ${kind} needs frames to make; ${latentFrames} latent frames leave none. Use a length of ${videoLength(positions.length + 1, base)} or more.`,
    );
  }
  return positions;
}

/**
 * Refuses the texts that a task does not use.
 * @param {string} task "extend" or "prepend"
 * @param {string} positions
 * @param {string} sources source_positions
 */
export function refuseTexts(task, positions, sources) {
  refuse("positions", positions, task, "complete or custom");
  refuse("source_positions", sources, task, CUSTOM);
}

/**
 * Refuses frames of the clip that do not fit the positions they go to.
 * @param {string} task "complete" or "custom"
 * @param {number} count number of positions
 * @param {string} sources source_positions
 */
export function checkSources(task, count, sources) {
  if (task === COMPLETE) {
    refuse("source_positions", sources, task, CUSTOM);
    return;
  }
  if (!sources.trim()) {
    throw new PusaError('source_positions is empty. For custom write latent frames of the clip, such as "0, 1, -1".');
  }
  const given = parsePositions(sources).length;
  if (given !== count) {
    throw new PusaError(`${given} source_positions for ${count} positions. Write exactly one source for each position.`);
  }
}

/**
 * @param {string} name
 * @param {string} typed
 * @param {string} task
 * @param {string} other tasks that use it
 */
function refuse(name, typed, task, other) {
  if (!typed.trim()) return;
  throw new PusaError(`${name} is ${quoted(typed)}, but ${task} finds it by itself. Clear ${name}, or choose ${other} as the task.`);
}

/**
 * @param {number} contextFrames
 * @param {number} latentFrames
 * @param {Base} base
 */
function checkContext(contextFrames, latentFrames, base) {
  const { stride } = base;
  const longest = videoLength(Math.max(1, latentFrames - 1), base);
  if (contextFrames < 1 || (contextFrames - 1) % stride !== 0) {
    const below = Math.max(1, Math.floor((contextFrames - 1) / stride) * stride + 1);
    throw new PusaError(
      `context_frames is ${contextFrames}; the VAE takes one frame and then groups of ${base.groups}: ` +
        `use ${below} or ${below + stride} (${videoLength(4, base)} is Pusa's).`,
    );
  }
  if (contextFrames > longest || latentFrames === 1) {
    throw new PusaError(
      `context_frames is ${contextFrames}, which leaves nothing to generate in a video of ` +
        `${videoLength(latentFrames, base)} frames. Use ${longest} or fewer, or a longer video.`,
    );
  }
}
