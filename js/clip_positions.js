// Where the Condition Video Injector puts a clip's frames, as pusa_core/clips.py plans it.
import { PusaError, STRIDE, latentFrameCount, videoLength } from "./latent_frames.js";

export const EXTEND = "extend";
export const PREPEND = "prepend";
export const CUSTOM = "custom";

/**
 * Latent frames that the tasks extend and prepend fill.
 * @param {string} task "extend" or "prepend"
 * @param {number} latentFrames of the video
 * @param {number} contextFrames pixel frames that clip and video share, 4n + 1
 * @returns {number[]}
 */
export function clipPositions(task, latentFrames, contextFrames) {
  checkContext(contextFrames, latentFrames);
  const count = latentFrameCount(contextFrames);
  if (task === EXTEND) return Array.from({ length: count }, (_, i) => i);
  if (count === 1) {
    throw new PusaError(
      "context_frames is 1, but the end of a video is given in groups of four frames after one: use 5, 9, 13 or more.",
    );
  }
  return Array.from({ length: count - 1 }, (_, i) => latentFrames - count + 1 + i);
}

/**
 * @param {number} contextFrames
 * @param {number} latentFrames
 */
function checkContext(contextFrames, latentFrames) {
  const longest = videoLength(Math.max(1, latentFrames - 1));
  if (contextFrames < 1 || contextFrames % STRIDE !== 1) {
    const below = Math.max(1, Math.floor((contextFrames - 1) / STRIDE) * STRIDE + 1);
    throw new PusaError(
      `context_frames is ${contextFrames}; the VAE takes one frame and then groups of four: ` +
        `use ${below} or ${below + STRIDE} (13 is Pusa's).`,
    );
  }
  if (contextFrames > longest || latentFrames === 1) {
    throw new PusaError(
      `context_frames is ${contextFrames}, which leaves nothing to generate in a video of ` +
        `${videoLength(latentFrames)} frames. Use ${longest} or fewer, or a longer video.`,
    );
  }
}
