// Noise levels of a run, as pusa_core/schedule.py and pusa_core/experts.py compute them.

export const TIMESTEPS = 1000;
/** Sigma where Wan2.2 text-to-video changes from the high-noise to the low-noise expert. */
export const BOUNDARY_T2V = 0.875;

/**
 * Noise levels of Wan's flow matching, pure noise first, clean last.
 * @param {number} steps >= 1
 * @param {number} [shift] >= 1
 * @param {number} [denoise] in (0, 1]
 * @returns {number[]} steps + 1 sigmas, the last one 0
 */
export function flowSigmas(steps, shift = 5, denoise = 1) {
  return Array.from({ length: steps + 1 }, (_, i) => {
    const ramp = denoise * (1 - i / steps);
    return (shift * ramp) / (1 + (shift - 1) * ramp);
  });
}

/**
 * Timestep of every latent frame at every step: 1000 * sigma * multiplier.
 * @param {number[]} sigmas steps + 1 values, see flowSigmas; the last one runs no step
 * @param {number[]} noiseMultipliers one per latent frame, in [0, 1]
 * @returns {number[][]} one row per step, one timestep per latent frame
 */
export function frameTimesteps(sigmas, noiseMultipliers) {
  return sigmas.slice(0, -1).map((sigma) => noiseMultipliers.map((m) => TIMESTEPS * sigma * m));
}

/**
 * Steps that the high-noise expert runs: those that start at sigma >= boundary.
 * @param {number[]} sigmas steps + 1 falling values
 * @param {number} boundary sigma in [0, 1]
 */
export function highNoiseSteps(sigmas, boundary) {
  // ComfyUI keeps sigmas as float32: compare what it compares.
  return sigmas.slice(0, -1).filter((sigma) => Math.fround(sigma) >= boundary).length;
}
