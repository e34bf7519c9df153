import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { BASES } from "../../js/generated_facts.js";
import { coverage } from "../../js/coverage.js";
import { expertOfFile } from "../../js/expert_names.js";
import { readInjector } from "../../js/injector.js";
import { keyframePositions } from "../../js/keyframe_positions.js";
import * as frames from "../../js/latent_frames.js";
import { carriedInto } from "../../js/lost_frames.js";
import { flowSigmas, frameTimesteps, highNoiseSteps, linearQuadraticSigmas, simpleSigmas } from "../../js/schedule.js";
import { graph } from "./graphs.js";
import { pythonValues } from "./python.js";

const said = pythonValues("tests/js/python_values.py");

/** @param {string} id */
function base(id) {
  const found = BASES.find((each) => each.id === id);
  assert.ok(found, id);
  return found;
}

/**
 * What a function returns, or the sentence it refuses with.
 * @param {() => unknown} act
 */
function outcome(act) {
  try {
    return { value: act() };
  } catch (error) {
    if (error instanceof frames.PusaError) return { error: error.message };
    throw error;
  }
}

/**
 * Where an injector's timeline draws its frames, or the sentence it shows.
 * @param {string} comfyClass
 * @param {Record<string, unknown>} values of its widgets
 * @param {number} latentFrames
 * @param {string} id of the base
 */
function placed(comfyClass, values, latentFrames, id) {
  const widgets = Object.entries({ ...values, noise_multipliers: "0.2" }).map(([name, value]) => ({ name, value }));
  const { handles, problem } = readInjector({ id: 1, comfyClass, widgets }, latentFrames, base(id));
  return problem === null ? { value: handles.map(({ frame }) => frame) } : { error: problem };
}

/**
 * @param {number[]} ours
 * @param {number[]} theirs
 * @param {number} tolerance
 */
function close(ours, theirs, tolerance) {
  assert.equal(ours.length, theirs.length);
  ours.forEach((value, i) => assert.ok(Math.abs(value - theirs[i]) <= tolerance, `${value} is not ${theirs[i]}`));
}

describe("the browser says what pusa_core says", () => {
  test("about the number of latent frames", () => {
    for (const [id, length, count] of said.lengths) assert.equal(frames.latentFrameCount(length, base(id)), count);
  });

  test("about the video frames of a latent frame", () => {
    for (const [id, n, length, first, holder] of said.latent) {
      const counts = base(id);
      assert.deepEqual([frames.videoLength(n + 1, counts), frames.firstPixelFrame(n, counts), frames.latentFrameOf(n, counts)], [length, first, holder]);
      assert.equal(frames.latentFrameOf(frames.lastPixelFrame(n, counts), counts), n);
    }
  });

  test("about every way to type positions, right or wrong", () => {
    for (const [text, expected] of said.positions) assert.deepEqual(outcome(() => frames.parsePositions(text)), expected);
  });

  test("about every way to type multipliers, right or wrong", () => {
    for (const [text, count, expected] of said.multipliers) {
      const ours = outcome(() => frames.parseMultipliers(text, count));
      assert.equal(ours.error, expected.error);
      if (expected.value) close(/** @type {number[]} */ (ours.value), expected.value, 1e-12);
    }
  });

  test("about the frame a position means", () => {
    for (const [id, position, count, unit, expected] of said.resolved) {
      assert.deepEqual(outcome(() => frames.resolvePosition(position, count, unit, base(id))), expected);
    }
  });

  test("about the timesteps of every step and the expert that sees them", () => {
    for (const [[steps, shift, denoise], expected] of said.schedules) {
      const sigmas = flowSigmas(steps, shift, denoise);
      close(sigmas, expected.sigmas, 1e-6);
      frameTimesteps(sigmas, [0, 0.2, 0.5, 1]).forEach((row, i) => close(row, expected.timesteps[i], 1e-3));
      assert.deepEqual([0, 0.625, 0.875, 0.9, 1].map((boundary) => highNoiseSteps(sigmas, boundary)), expected.high);
    }
  });

  test("about every sigma and the steps of each expert, to the last bit, for every schedule and boundary", () => {
    assert.ok(said.splits.length > 2000);
    for (const [kind, [steps, shift, denoise], sigmas, high] of said.splits) {
      const ours = kind === "flow" ? flowSigmas(steps, shift, denoise) : simpleSigmas(steps, shift, denoise);
      const name = `${kind}, ${steps} steps, shift ${shift}, denoise ${denoise}`;
      assert.deepEqual(ours, sigmas, name);
      assert.deepEqual(said.boundaries.map((/** @type {number} */ boundary) => highNoiseSteps(ours, boundary)), high, name);
    }
    assert.equal(highNoiseSteps(flowSigmas(14), 0.9), 6);
  });

  test("about every level of the linear-quadratic schedule, to the last bit", () => {
    for (const [steps, denoise, sigmas] of said.linear_quadratic) assert.deepEqual(linearQuadraticSigmas(steps, denoise), sigmas, `${steps}, ${denoise}`);
  });

  test("about the expert that a file's name speaks of", () => {
    for (const [name, expert] of said.names) assert.equal(expertOfFile(name), expert, name);
    assert.equal(expertOfFile("wan_high_quality.safetensors"), null);
  });

  test("about the given frames that a latent still has, and where others were lost, in graphs of any shape", () => {
    let lost = 0;
    for (const [prompt, expected] of said.latents) {
      const content = Object.entries(prompt).map(([id, { class_type, inputs }]) => [id, [class_type, Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, Array.isArray(value) ? [value[0]] : value]))]]);
      for (const node of graph(Object.fromEntries(content))) {
        const { injectors, lost: gone } = carriedInto(node);
        const ids = [...injectors].map(({ id }) => String(id)).sort();
        const pairs = gone.map((pair) => pair.map(({ id }) => String(id)));
        const sorted = pairs.sort((one, two) => (one.join() < two.join() ? -1 : 1));
        const theirs = expected[node.id][1].sort((/** @type {string[]} */ one, /** @type {string[]} */ two) => (one.join() < two.join() ? -1 : 1));
        assert.deepEqual([ids, sorted], [expected[node.id][0], theirs], JSON.stringify(prompt));
        lost += gone.length;
      }
    }
    assert.ok(lost > 100);
  });

  test("about how many frames were given, on the badge", () => {
    for (const [count, text] of said.given) {
      const label = count ? `${count} given frame${count === 1 ? "" : "s"}` : "";
      assert.equal(coverage(text).label, label);
      assert.equal(coverage(`${text}\nWarning: lost.`).label, `${label || "No given frames"}, see below`);
    }
  });

  test("about where a clip goes, in every task", () => {
    for (const [id, [task, count, context_frames, positions, source_positions], expected] of said.clips) {
      assert.deepEqual(placed("PusaConditionVideo", { task, context_frames, positions, source_positions }, count, id), expected);
    }
  });

  test("about the two ends of a transition, and of a loop from a clip", () => {
    for (const [id, [count, context_frames], expected] of said.transitions) {
      assert.deepEqual(placed("PusaTransition", { context_frames }, count, id), expected);
      assert.deepEqual(placed("PusaLoopConditions", { kind: "clip", context_frames }, count, id), expected);
    }
  });

  test("about the two ends of a loop from a still, and the one place of a rolled still", () => {
    for (const [id, kind, count, expected] of said.stills) assert.deepEqual(placed("PusaLoopConditions", { kind, context_frames: 13 }, count, id), expected);
  });

  test("about where keyframes go, in every spacing", () => {
    for (const [id, [pictures, count, spacing, times, fps], expected] of said.keyframes) {
      assert.deepEqual(outcome(() => keyframePositions(pictures, count, spacing, times, fps, base(id))), expected, `${pictures} pictures, ${count}, ${spacing}, "${times}"`);
    }
  });
});
