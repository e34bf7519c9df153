import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { WAN } from "../../js/bases.js";
import * as edits from "../../js/director_edits.js";
import { nearestWhole, placeAt, planOf, promptOf } from "../../js/director_plan.js";
import { readProject, writeProject } from "../../js/director_project.js";
import { comparedWith, madeFromRecord, withEvent } from "../../js/director_record.js";
import { VIDEO, stillThere } from "../../js/director_scene.js";
import { outline, peaks } from "../../js/director_wave.js";

/** @typedef {import("../../js/director_project.js").Project} Project */

const CLOCK = { base: WAN, fps: 16 };

/** @returns {Project} three windows: frames 0 to 80, 68 to 148, 136 to 216 */
function three() {
  return { version: 1, windows: [{ id: "w1", prompt: "a" }, { id: "w2", prompt: "b" }, { id: "w3", prompt: "c" }] };
}

/** @param {Project} project */
const starts = (project) => planOf(project).windows.map(({ start }) => start);
/** @param {Project} project */
const problem = (project) => readProject(writeProject(project)).problem;

describe("the text", () => {
  test("is written with a line for each window and reads back the same", () => {
    const project = { ...three(), keys: [{ at: 40, picture: "a b.png", multiplier: 0.2 }], sound: { file: "song.wav" } };
    const text = writeProject(project);
    assert.equal(text.split("\n").filter((line) => line.includes('"id"')).length, 3);
    assert.deepEqual(readProject(text), { project, problem: "", readable: true });
    assert.deepEqual(JSON.parse(text), project);
  });

  test("what is no JSON is shown, never edited, with the place of the fault", () => {
    const { problem: said, readable } = readProject('{"version": 1, "windows": [}');
    assert.equal(readable, false);
    assert.match(said, /^project is no JSON: /);
  });

  test("a text that only the run knows is said to be one, and not edited", () => {
    const { problem: said, readable } = readProject(undefined);
    assert.equal(readable, false);
    assert.equal(said, "project comes from another node and is known once the graph runs.");
  });

  test("an empty text can be filled from the tracks", () => {
    const { project, readable } = readProject("");
    assert.equal(readable, true);
    assert.equal(problem(edits.setWindow(edits.addWindow(project, null, CLOCK).project, "w1", { prompt: "a" })), "");
  });

  test("a fault that leaves the windows readable can be mended on the tracks", () => {
    const { problem: said, readable, project } = readProject('{"version": 1, "windows": [{"id": "w1", "prompt": "a", "length": 80}]}');
    assert.equal(readable, true);
    assert.match(said, /^windows\[0\]\.length is 80 frames; Wan makes 4n \+ 1: use 77 or 81\.$/);
    assert.equal(problem(edits.setLength(project, "w1", 78, CLOCK)), "");
  });

  test("a version of tomorrow is not touched", () => {
    const { readable, problem: said } = readProject('{"version": 2, "windows": []}');
    assert.equal(readable, false);
    assert.match(said, /reads version 1. Update ComfyUI-Pusa/);
  });

  test("unknown keys are said and kept", () => {
    const { problem: said, project } = readProject('{"version": 1, "windows": [{"id": "w1", "prompt": "a", "promt": "x"}]}');
    assert.match(said, /^windows\[0\]\.promt is not known/);
    assert.match(writeProject(project), /"promt": "x"/);
  });

  test("a seed larger than JavaScript's whole numbers survives an edit", { skip: typeof (/** @type {any} */ (JSON).rawJSON) !== "function" }, () => {
    const { project, problem: said } = readProject('{"version": 1, "windows": [{"id": "w1", "prompt": "a", "seed": 18446744073709551615}]}');
    assert.equal(said, "");
    assert.match(writeProject(edits.setWindow(project, "w1", { lock: true })), /"seed": 18446744073709551615,/);
  });
});

describe("the plan", () => {
  test("every window begins an overlap before the end of the one before", () => {
    const { windows, total } = planOf(three());
    assert.deepEqual(windows.map(({ start, firstNew, end }) => [start, firstNew, end]), [[0, 0, 81], [68, 81, 149], [136, 149, 217]]);
    assert.equal(total, 217);
    assert.equal(placeAt(planOf(three()), 148)?.id, "w2");
  });

  test("a window follows its own prompt, else the timed one, else that of the window before", () => {
    const project = three();
    delete project.windows[1].prompt;
    assert.equal(promptOf(project, planOf(project), 1, 16), "a");
    project.prompts = [{ at: 0, text: "early" }, { at: 7, text: "late" }];
    assert.equal(promptOf(project, planOf(project), 1, 16), "late");
    assert.equal(promptOf(project, planOf(project), 0, 16), "a");
  });

  test("the nearest whole length", () => {
    assert.deepEqual([1, 2, 3, 4, 80, 83].map((frames) => nearestWhole(frames, WAN)), [1, 1, 5, 5, 81, 85]);
  });
});

describe("editing", () => {
  test("a longer window pushes the later ones, and what lies in them", () => {
    const project = { ...three(), keys: [{ at: 10, picture: "a" }, { at: 100, picture: "b" }], prompts: [{ at: 10, text: "x" }] };
    const after = edits.setLength(project, "w1", 97, CLOCK);
    assert.deepEqual(starts(after), [0, 84, 152]);
    assert.deepEqual(after.keys?.map(({ at }) => at), [10, 116]);
    assert.deepEqual(after.prompts?.map(({ at }) => at), [11]);
  });

  test("a window stays longer than what it shares", () => {
    assert.equal(planOf(edits.setLength(three(), "w2", 1, CLOCK)).windows[1].length, 17);
    assert.equal(planOf(edits.setOverlap(three(), "w2", 500, CLOCK)).windows[1].given, 77);
  });

  test("a wider overlap keeps the window's end and everything behind it", () => {
    const after = edits.setOverlap(three(), "w2", 30, CLOCK);
    assert.deepEqual(planOf(after).windows.map(({ start, end }) => [start, end]), [[0, 81], [52, 149], [136, 217]]);
  });

  test("a new window has an id that no other has, behind the one named", () => {
    const { project, id } = edits.addWindow(three(), "w1", CLOCK);
    assert.equal(id, "w4");
    assert.deepEqual(project.windows.map((window) => window.id), ["w1", "w4", "w2", "w3"]);
  });

  test("a removed window takes its pictures along and leaves the prompts", () => {
    const project = { ...three(), keys: [{ at: 100, picture: "a" }, { at: 200, picture: "b" }], prompts: [{ at: 6, text: "x" }] };
    const after = edits.removeWindow(project, "w2", CLOCK);
    assert.deepEqual(after.keys, [{ at: 132, picture: "b" }]);
    assert.equal(after.prompts?.length, 1);
  });

  test("a moved window takes its pictures along", () => {
    const project = { ...three(), keys: [{ at: 160, picture: "a" }] };
    const after = edits.moveWindow(project, "w3", -1, CLOCK);
    assert.deepEqual(after.windows.map(({ id }) => id), ["w1", "w3", "w2"]);
    assert.deepEqual(after.keys, [{ at: 92, picture: "a" }]);
    assert.equal(edits.moveWindow(project, "w1", -1, CLOCK), project);
  });

  test("a split leaves the video as long as it was, and every frame where it was", () => {
    for (const frame of [-5, 0, 20, 40, 60, 80, 100, 148, 200]) {
      for (const id of ["w1", "w2", "w3"]) {
        const { project: after, id: second } = edits.splitWindow({ ...three(), keys: [{ at: 100, picture: "a" }] }, id, frame, CLOCK);
        assert.equal(second, "w4");
        assert.equal(planOf(after).total, 217);
        assert.equal(problem(after), "");
        assert.deepEqual(after.keys, [{ at: 100, picture: "a" }]);
      }
    }
  });

  test("a window that is too short or locked is not split", () => {
    const short = edits.setLength(three(), "w2", 17, CLOCK);
    assert.equal(edits.canSplit(short, "w2", WAN), false);
    assert.equal(edits.canSplit(edits.setWindow(three(), "w2", { lock: true }), "w2", WAN), false);
    assert.equal(edits.splitWindow(short, "w2", 80, CLOCK).project, short);
  });

  test("a bridge that loses a side becomes an ordinary window", () => {
    const project = edits.setWindow(three(), "w2", { bridge: true });
    assert.equal(problem(project), "");
    assert.equal(edits.removeWindow(project, "w3", CLOCK).windows[1].bridge, undefined);
    assert.equal(edits.moveWindow(project, "w2", -1, CLOCK).windows[0].bridge, undefined);
  });

  test("a retake counts up, unlocks, and forgets the choice", () => {
    const project = edits.setWindow(three(), "w2", { lock: true, candidates: 2, chosen: 1 });
    assert.deepEqual(edits.retake(project, "w2", 3).windows[1], { id: "w2", prompt: "b", retake: 1, candidates: 3 });
    assert.deepEqual(edits.retake(edits.retake(project, "w2", 3), "w2", 1).windows[1], { id: "w2", prompt: "b", retake: 2 });
  });

  test("LoRAs are added, changed and taken away", () => {
    const two = edits.setLora(edits.setLora(three(), "w1", 0, { name: "a" }), "w1", 1, { name: "b", strength: 0.5 });
    assert.deepEqual(two.windows[0].loras, [{ name: "a", strength: 1 }, { name: "b", strength: 0.5 }]);
    assert.deepEqual(edits.setLora(two, "w1", 0, { strength: 2 }).windows[0].loras?.[0], { name: "a", strength: 2 });
    assert.equal(edits.setLora(edits.setLora(two, "w1", 0, null), "w1", 0, null).windows[0].loras, undefined);
  });

  test("what is selected is removed, but a locked window keeps itself and its LoRAs", () => {
    const project = { ...edits.setLora(three(), "w2", 0, { name: "a" }), sound: { file: "song.wav" }, keys: [{ at: 3, picture: "a.png" }] };
    const locked = edits.setWindow(project, "w2", { lock: true });
    for (const selection of /** @type {import("../../js/director_scene.js").Selection[]} */ ([{ kind: "window", id: "w2" }, { kind: "lora", id: "w2", index: 0 }])) {
      assert.equal(edits.removeSelected(locked, selection, CLOCK), locked);
      assert.notDeepEqual(edits.removeSelected(project, selection, CLOCK), project);
    }
    assert.equal(edits.removeSelected(locked, { kind: "sound" }, CLOCK).sound, undefined);
    assert.deepEqual(edits.removeSelected(locked, { kind: "keys", index: 0 }, CLOCK).keys, []);
    assert.equal(edits.removeSelected(locked, VIDEO, CLOCK), locked);
  });

  test("what is placed stays in the order of time when it is added", () => {
    const { project, index } = edits.addPlaced({ ...three(), keys: [{ at: 5, picture: "a" }, { at: 50, picture: "b" }] }, "keys", { at: 20, picture: "c" });
    assert.equal(index, 1);
    assert.deepEqual(project.keys?.map(({ at }) => at), [5, 20, 50]);
    assert.deepEqual(edits.removePlaced(project, "keys", 1).keys?.map(({ at }) => at), [5, 50]);
  });

  test("no edit changes the project it is given", () => {
    const project = { ...three(), keys: [{ at: 100, picture: "a" }] };
    const text = writeProject(project);
    edits.setLength(project, "w1", 97, CLOCK);
    edits.splitWindow(project, "w2", 100, CLOCK);
    edits.moveWindow(project, "w2", 1, CLOCK);
    edits.removeWindow(project, "w2", CLOCK);
    edits.setPlaced(project, "keys", 0, { at: 3 });
    assert.equal(writeProject(project), text);
  });

  test("a selection whose thing is gone becomes the whole video", () => {
    assert.equal(stillThere({ kind: "window", id: "w9" }, three()), VIDEO);
    assert.equal(stillThere({ kind: "keys", index: 0 }, three()), VIDEO);
    assert.deepEqual(stillThere({ kind: "window", id: "w2" }, three()), { kind: "window", id: "w2" });
  });
});

describe("what was made", () => {
  const inputs = { seed: 7, steps: 4, cfg: 1, width: 64, height: 64, fps: 16 };
  const record = {
    project: three(),
    width: 64,
    height: 64,
    fps: 16,
    quality: "final",
    windows: ["w1", "w2", "w3"].map((id, i) => ({ id, chosen: 0, steps: 4, cfg: 1, candidates: [{ candidate: 0, file: `${id}.0.mp4`, picture: `${id}.0.png`, seed: 7 + i, identity: "x" }] })),
  };
  const made = madeFromRecord(record, "story");
  const states = (/** @type {Project} */ now, more = {}) => {
    const found = comparedWith(made, now, three(), record, { ...inputs, ...more });
    return now.windows.map(({ id }) => found.get(id)?.state ?? "new");
  };

  test("the record's files are found in the project's folder", () => {
    assert.deepEqual(made.get("w2")?.files, [{ filename: "w2.0.mp4", subfolder: "story", type: "output", version: "x" }]);
    assert.deepEqual(states(three()), ["finished", "finished", "finished"]);
  });

  test("a changed window and those that follow it are to be made again, up to a locked one", () => {
    assert.deepEqual(states(edits.setWindow(three(), "w2", { prompt: "x" })), ["finished", "changed", "waiting"]);
    assert.deepEqual(states(edits.setWindow(edits.setWindow(three(), "w2", { prompt: "x" }), "w3", { lock: true })), ["finished", "changed", "finished"]);
    assert.deepEqual(states(three(), { steps: 8 }), ["changed", "changed", "changed"]);
    assert.deepEqual(states({ ...three(), keys: [{ at: 200, picture: "a" }] }), ["finished", "finished", "changed"]);
    assert.deepEqual(states(edits.addWindow(three(), "w1", CLOCK).project), ["finished", "new", "changed", "changed"]);
    assert.deepEqual(states(edits.retake(three(), "w3", 2)), ["finished", "finished", "changed"]);
    assert.deepEqual(states(edits.setWindow(three(), "w1", { chosen: 1, candidates: 2 })), ["changed", "waiting", "waiting"]);
    assert.deepEqual(states(edits.setWindow(three(), "w2", { bridge: true })), ["finished", "changed", "finished"]);
    assert.deepEqual(states(three(), { seed: 8 }), ["changed", "changed", "changed"]);
  });

  test("prompts inside windows are compared where windows follow them frame by frame", () => {
    const follows = (/** @type {string | undefined} */ by, /** @type {number} */ at) => ({
      ...three(),
      windows: three().windows.map(({ id }) => ({ id })),
      prompts: [{ at: 0, text: "a" }, { at, text: "b" }],
      ...(by ? { prompts_by: by } : {}),
    });
    const changed = (/** @type {Project} */ now, /** @type {Project} */ then) => {
      const found = comparedWith(made, now, then, { ...record, project: then }, inputs);
      return now.windows.map(({ id }) => found.get(id)?.state);
    };
    assert.deepEqual(changed(follows("frame", 4), follows(undefined, 4)), ["changed", "waiting", "waiting"]);
    assert.deepEqual(changed(follows("frame", 3.5), follows("frame", 4)), ["changed", "waiting", "waiting"]);
    assert.deepEqual(changed(follows("window", 3.5), follows(undefined, 4)), ["finished", "finished", "finished"]);
  });

  test("inputs that only the run knows change nothing, what is typed still does", () => {
    const unknown = Object.fromEntries(Object.keys(inputs).map((name) => [name, undefined]));
    assert.deepEqual(states(three(), unknown), ["finished", "finished", "finished"]);
    assert.deepEqual(states(edits.setWindow(three(), "w2", { steps: 8 }), unknown), ["finished", "changed", "waiting"]);
    assert.deepEqual(states(edits.retake(three(), "w3", 1), unknown), ["finished", "finished", "changed"]);
    assert.deepEqual(states(three(), { ...unknown, width: 65 }), ["changed", "changed", "changed"]);
  });

  test("a run's events come on top, and leave the map before as it was", () => {
    const event = { node: "1", project: "story", window: "w2", candidate: 1, state: "running" };
    const running = withEvent(made, event, "1");
    assert.equal(running.get("w2")?.state, "running");
    const finished = withEvent(running, { ...event, state: "finished", file: "w2.1.mp4", picture: "w2.1.png", subfolder: "story" }, "2");
    assert.deepEqual(finished.get("w2")?.files.map((file) => file?.filename), ["w2.0.mp4", "w2.1.mp4"]);
    assert.equal(made.get("w2")?.files.length, 1);
  });
});

test("the waveform has a point for each stretch of sound and fits its track", () => {
  const values = peaks([0, 0.5, -1, 0.25, 0.1], 2);
  assert.deepEqual(values, [0.5, 1, 0.1]);
  const path = outline(values);
  assert.match(path, /^M0\.000 -0\.500L0\.025 -1\.000L/);
  assert.equal(path.split(/[ML]/).length - 1, 6);
  assert.equal(outline([]), "");
});
