import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LATENT_FRAME, VIDEO_FRAME } from "../../js/latent_frames.js";
import {
  PRESETS,
  addHandle,
  frameMultipliers,
  freeFrame,
  moveHandle,
  presetOf,
  presetTexts,
  ramp,
  readFixed,
  readTimeline,
  removeHandle,
  setMultiplier,
} from "../../js/timeline_model.js";
import { spread } from "../../js/timeline_view.js";

const F = 21;

/** @type {(positions: string, noiseMultipliers: string) => import("../../js/timeline_model.js").Texts} */
const texts = (positions, noiseMultipliers) => ({ positions, noiseMultipliers });

describe("reading", () => {
  test("each position becomes a handle with its frame and multiplier", () => {
    const { handles, problem } = readTimeline(texts("0, -1", "0.2, 0.5"), F);
    assert.equal(problem, null);
    assert.deepEqual(handles.map(({ frame, multiplier }) => [frame, multiplier]), [[0, 0.2], [20, 0.5]]);
  });

  test("text that cannot be read gives the node's sentence and no handle to drag", () => {
    const timeline = readTimeline(texts("0, x", "0.2"), F);
    assert.equal(timeline.readable, false);
    assert.match(String(timeline.problem), /^'x' in positions is not a whole number/);
    assert.deepEqual(timeline.handles, []);
  });

  test("empty positions can be filled from the timeline", () => {
    const empty = texts("", "0.2");
    const timeline = readTimeline(empty, F);
    assert.equal(timeline.readable, true);
    assert.deepEqual(addHandle(empty, timeline, 3, 0.4), texts("3", "0.4"));
  });

  test("a position outside the latent stays on screen, marked, and can be dragged back", () => {
    const outside = texts("0, 25", "0.2");
    const timeline = readTimeline(outside, F);
    assert.deepEqual(timeline.handles.map(({ frame, wrong }) => [frame, wrong]), [[0, false], [20, true]]);
    assert.match(String(timeline.problem), /Position 25 is outside this latent of 21/);
    assert.equal(moveHandle(outside, timeline, 1, 20).positions, "0, 20");
  });

  test("two positions in one latent frame are refused as the node refuses them", () => {
    assert.match(String(readTimeline(texts("1, 4", "0.2"), F, VIDEO_FRAME).problem), /^Latent frame 1 is given twice/);
  });

  test("a clip's frames take their places from the task", () => {
    const timeline = readFixed(() => [0, 1, 2, 3], "0..0.6", F);
    assert.deepEqual(timeline.handles.map(({ multiplier }) => Number(multiplier.toFixed(3))), [0, 0.2, 0.4, 0.6]);
  });

  test("frames without a condition have multiplier 1, and a later injector wins", () => {
    assert.deepEqual(frameMultipliers([{ frame: 0, multiplier: 0.2 }, { frame: 2, multiplier: 0 }, { frame: 0, multiplier: 0.5 }], 3), [0.5, 1, 0]);
  });
});

describe("editing", () => {
  const start = texts("0, -1", "0.2, 0.5");
  const timeline = readTimeline(start, F);

  test("moving along time changes one position and nothing else", () => {
    assert.deepEqual(moveHandle(start, timeline, 0, 4), texts("4, -1", "0.2, 0.5"));
  });

  test("a position typed from the end stays from the end", () => {
    assert.deepEqual(moveHandle(start, timeline, 1, 15), texts("0, -6", "0.2, 0.5"));
  });

  test("a frame that another handle holds is not taken", () => {
    assert.equal(moveHandle(start, timeline, 0, 20), start);
  });

  test("moving beyond an end stops at the end", () => {
    assert.equal(moveHandle(texts("3", "0.2"), readTimeline(texts("3", "0.2"), F), 0, 99).positions, "20");
  });

  test("moving up or down changes one multiplier and nothing else", () => {
    assert.deepEqual(setMultiplier(start, timeline, 0, 0.35), texts("0, -1", "0.35, 0.5"));
  });

  test("one multiplier for all is written out once a handle leaves it", () => {
    const broadcast = texts("0, 5, 9", "0.2");
    assert.equal(setMultiplier(broadcast, readTimeline(broadcast, F), 1, 0.4).noiseMultipliers, "0.2, 0.4, 0.2");
  });

  test("one multiplier for all stays one when a handle with it is added or removed", () => {
    const broadcast = texts("0, 5", "0.20");
    const read = readTimeline(broadcast, F);
    assert.deepEqual(addHandle(broadcast, read, 9, 0.2), texts("0, 5, 9", "0.20"));
    assert.deepEqual(removeHandle(broadcast, read, 0), texts("5", "0.20"));
  });

  test("a multiplier outside 0 to 1 stops at the end, a NaN cannot come out", () => {
    assert.equal(setMultiplier(start, timeline, 0, 1.7).noiseMultipliers, "1, 0.5");
    assert.equal(setMultiplier(start, timeline, 0, -3).noiseMultipliers, "0, 0.5");
  });

  test("the last condition cannot be removed", () => {
    const one = texts("0", "0.2");
    assert.equal(removeHandle(one, readTimeline(one, F), 0), one);
  });

  test("a ramp is written as a ramp and reads back as one", () => {
    const four = texts("0, 1, 2, 3", "0.1, 0.9, 0.9, 0.7");
    const after = ramp(four, readTimeline(four, F));
    assert.equal(after.noiseMultipliers, "0.1..0.7");
    assert.deepEqual(readTimeline(after, F).handles.map(({ multiplier }) => Number(multiplier.toFixed(3))), [0.1, 0.3, 0.5, 0.7]);
  });

  test("moving a handle of a ramp along time keeps the ramp", () => {
    const ramped = texts("0, 4, 8", "0..0.2");
    assert.equal(moveHandle(ramped, readTimeline(ramped, F), 1, 5).noiseMultipliers, "0..0.2");
  });

  test("in video frames a handle is written as a video frame of its latent frame", () => {
    const video = texts("0, -1", "0.2");
    assert.equal(moveHandle(video, readTimeline(video, F, VIDEO_FRAME), 0, 3).positions, "12, -1");
    assert.equal(moveHandle(video, readTimeline(video, F, VIDEO_FRAME), 1, 19).positions, "0, -5");
  });

  test("what is added goes to the end first, then into the widest gap", () => {
    assert.equal(freeFrame(readTimeline(texts("0", "0.2"), F)), 20);
    assert.equal(freeFrame(readTimeline(texts("0, -1", "0.2"), F)), 10);
    assert.equal(freeFrame(readTimeline(texts("0, 1, 2", "0.2"), 3)), null);
    assert.deepEqual(addHandle(start, timeline, 10, 0.2), texts("0, -1, 10", "0.2, 0.5, 0.2"));
  });

  test("every edit gives texts that read back without a problem", () => {
    for (let index = 0; index < 2; index += 1) {
      for (let frame = -2; frame < F + 2; frame += 1) {
        for (const unit of [LATENT_FRAME, VIDEO_FRAME]) {
          const read = readTimeline(start, F, unit);
          const moved = moveHandle(start, read, index, frame);
          const lifted = setMultiplier(moved, readTimeline(moved, F, unit), index, frame / F);
          assert.equal(readTimeline(lifted, F, unit).problem, null);
        }
      }
    }
  });
});

describe("presets", () => {
  test("each is recognised from its own texts, in either unit", () => {
    for (const name of Object.keys(PRESETS)) {
      for (const unit of [LATENT_FRAME, VIDEO_FRAME]) {
        const timeline = readTimeline(presetTexts(name, unit), F, unit);
        assert.equal(timeline.problem, null);
        assert.equal(presetOf(timeline), name);
      }
    }
  });

  test("the end frame written as 20 is the same preset as -1", () => {
    assert.equal(presetOf(readTimeline(texts("0, 20", "0.2, 0.5"), F)), "Start and end frame");
  });

  test("other values are no preset", () => {
    assert.equal(presetOf(readTimeline(texts("0", "0.25"), F)), null);
  });
});

test("pictures of neighbouring frames lie side by side, inside the timeline", () => {
  for (const wishes of [[0.02, 0.07, 0.12, 0.17], [0.98, 0.99], [0.5], [0.9, 0.95, 1]]) {
    const places = spread(wishes);
    places.forEach((place, i) => {
      assert.ok(place >= 0.05 && place <= 0.95);
      if (i > 0) assert.ok(place - places[i - 1] > 0.1);
    });
  }
});
