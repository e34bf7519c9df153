// Noise levels of a run, as pusa_core/schedule.py, pusa_core/experts.py and ComfyUI's float32 arithmetic compute them.
import { SHIFT, THRESHOLD, TIMESTEPS } from "./generated_facts.js";

/**
 * Noise levels of Wan's flow matching, pure noise first, clean last.
 * @param {number} steps >= 1
 * @param {number} [shift] >= 1
 * @param {number} [denoise] in (0, 1]
 * @returns {number[]} steps + 1 sigmas, the last one 0, rounded to float32 as ComfyUI holds them
 */
export function flowSigmas(steps, shift = SHIFT, denoise = 1) {
  return Array.from({ length: steps + 1 }, (_, i) => {
    const ramp = denoise * (1 - i / steps);
    return Math.fround((shift * ramp) / (1 + (shift - 1) * ramp));
  });
}

/**
 * Noise levels of Mochi: a slow straight line over the first half of the steps, then a parabola down to 0.
 * @param {number} steps >= 1
 * @param {number} [denoise] in (0, 1]; below 1 the last levels of a longer schedule
 * @returns {number[]} steps + 1 sigmas, the last one 0, rounded to float32
 */
export function linearQuadraticSigmas(steps, denoise = 1) {
  const whole = Math.max(steps, Math.trunc(steps / denoise));
  const straight = Math.floor(whole / 2);
  if (!straight) return [1, 0];
  const curve = (straight - THRESHOLD * whole) / (straight * (whole - straight) ** 2);
  const sigmas = Array.from({ length: whole + 1 }, (_, i) =>
    i === whole ? 0 : Math.fround(1 - ((THRESHOLD * i) / straight + curve * Math.max(0, i - straight) ** 2)),
  );
  return sigmas.slice(-(steps + 1));
}

/**
 * Noise levels of core's scheduler "simple": every 1000/steps-th of 1000 levels that the model holds in float32.
 * Source: ComfyUI, comfy/samplers.py simple_scheduler and comfy/model_sampling.py ModelSamplingDiscreteFlow.
 * @param {number} steps >= 1
 * @param {number} shift >= 1, of the model
 * @param {number} [denoise] above 0; below 1 the last levels of a longer schedule
 * @returns {number[]} steps + 1 sigmas, the last one 0
 */
export function simpleSigmas(steps, shift, denoise = 1) {
  const { fround } = Math;
  const total = denoise > 0.9999 ? steps : Math.trunc(steps / denoise);
  const stride = TIMESTEPS / total;
  const sigmas = Array.from({ length: total }, (_, i) => {
    const level = fround((TIMESTEPS - Math.trunc(i * stride)) / TIMESTEPS);
    const ramp = fround(fround(level * TIMESTEPS) / TIMESTEPS);
    if (shift === 1) return ramp;
    return fround(fround(fround(shift) * ramp) / fround(1 + fround(fround(shift - 1) * ramp)));
  });
  return [...sigmas, 0].slice(-(steps + 1));
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
  // ComfyUI keeps sigmas as float32 and rounds what they are compared with: 0.9 is the level 0.9 of 14 steps.
  return sigmas.slice(0, -1).filter((sigma) => Math.fround(sigma) >= Math.fround(boundary)).length;
}
