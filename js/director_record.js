// What is on disk of a project: its record as the node writes it, and the events of a run on top of it.
import { written } from "./director_check.js";
import { planOf, promptOf, promptSpans } from "./director_plan.js";
import { beginsAnew } from "./director_plan_check.js";
import { SEED_STEPS } from "./generated_facts.js";

/** @typedef {import("./director_project.js").Project} Project */
/** @typedef {import("./director_scene.js").Made} Made */
/** @typedef {import("./server_files.js").ServerFile} ServerFile */
/**
 * @typedef {object} RunEvent What the server says while a Director runs.
 * @property {string} node
 * @property {string} project the folder below the output folder
 * @property {string} window id
 * @property {number} candidate from 0
 * @property {string} state "running", "finished", "kept" or "locked"
 * @property {string} [file]
 * @property {string} [picture]
 * @property {string} [subfolder]
 * @property {string} [type]
 *
 * @typedef {object} RecordedWindow
 * @property {string} id
 * @property {number} [chosen]
 * @property {number} [steps]
 * @property {number} [cfg]
 * @property {{candidate: number, file: string, picture: string, seed: number, identity?: string, left_seam?: number | null, right_seam?: number | null}[]} [candidates]
 *
 * @typedef {object} ProjectRecord project.json, in the parts that are read here
 * @property {unknown} [project] the project as it was typed when it ran
 * @property {number} [width]
 * @property {number} [height]
 * @property {number} [fps]
 * @property {string} [quality] "final" or "draft"
 * @property {RecordedWindow[]} [windows]
 */

/** What of a window does not change what it shows, or is compared by its place. */
const ASIDE = ["id", "lock", "bridge", "candidates", "chosen", "prompt"];
/** What of the whole video every window depends on. */
const SHARED = /** @type {const} */ (["negative", "noise_multipliers", "colour", "resize", "anchor", "window", "overlap"]);

/**
 * The windows that a record knows, without what runs now.
 * @param {ProjectRecord | null} record
 * @param {string} folder the project's, below the output folder
 * @returns {Map<string, Made>}
 */
export function madeFromRecord(record, folder) {
  const made = new Map();
  for (const { id, chosen = 0, candidates = [] } of record?.windows ?? []) {
    /** @type {Made} */
    const one = { state: "new", files: [], pictures: [], seams: [], chosen };
    for (const { candidate, file, picture, identity: version, left_seam: left, right_seam: right } of candidates) {
      one.seams[candidate] = [left ?? null, right ?? null];
      one.files[candidate] = { filename: file, subfolder: folder, type: "output", version };
      one.pictures[candidate] = { filename: picture, subfolder: folder, type: "output", version };
    }
    made.set(id, { ...one, state: one.files[chosen] ? "finished" : "new" });
  }
  return made;
}

/**
 * The windows after one more event; the map before stays as it was.
 * @param {Map<string, Made>} made
 * @param {RunEvent} event
 * @param {string} version of the files that the event names
 * @returns {Map<string, Made>}
 */
export function withEvent(made, { window, candidate, state, file, picture, subfolder = "", type = "output" }, version) {
  const before = made.get(window) ?? { state: "new", files: [], pictures: [], seams: [], chosen: 0 };
  if (state === "running") return new Map(made).set(window, { ...before, state: "running" });
  const [files, pictures] = [[...before.files], [...before.pictures]];
  if (file) files[candidate] = { filename: file, subfolder, type, version };
  if (picture) pictures[candidate] = { filename: picture, subfolder, type, version };
  return new Map(made).set(window, { ...before, state: "finished", files, pictures, fresh: true });
}

/**
 * Whether windows are finished as they are typed now: one that was changed is not, nor are those that follow it up to a locked one.
 * @param {Map<string, Made>} made
 * @param {Project} now
 * @param {Project} then as it was typed when it ran
 * @param {ProjectRecord} record
 * @param {Record<string, unknown>} inputs of the node, by name; one that only the run knows, undefined, is taken as unchanged
 * @returns {Map<string, Made>}
 */
export function comparedWith(made, now, then, record, inputs) {
  const result = new Map(made);
  const [plan, planThen] = [planOf(now), planOf(then)];
  const fps = Number(inputs.fps ?? record.fps) || 1;
  const resized = /** @type {const} */ (["width", "height", "fps"]).some((name) => record.quality !== "draft" && record[name] !== undefined && inputs[name] !== undefined && Number(inputs[name]) !== record[name]);
  let stale = false;
  now.windows.forEach((window, i) => {
    const known = made.get(window.id);
    const chosen = window.chosen ?? 0;
    if (known) result.set(window.id, { ...known, chosen });
    const old = then.windows.findIndex(({ id }) => id === window.id);
    const told = record.windows?.find(({ id }) => id === window.id);
    // what begins anew is kept whatever was before it
    const before = (/** @type {Project} */ { windows }, /** @type {number} */ index) => (beginsAnew(now, i) ? "" : windows[index - 1]?.id);
    const recorded = { steps: told?.steps, cfg: told?.cfg, seed: told?.candidates?.find(({ candidate }) => candidate === chosen)?.seed };
    const said = old < 0 || !told ? "" : signature(then, planThen, old, record.fps ?? fps, { before: before(then, old), ...recorded });
    const asked = signature(now, plan, i, fps, {
      before: before(now, i),
      steps: window.steps ?? inputs.steps ?? recorded.steps,
      cfg: window.cfg ?? inputs.cfg ?? recorded.cfg,
      seed: seedOf(window, i, chosen, inputs.seed) ?? recorded.seed,
    });
    const changed = !known?.fresh && (resized || said !== asked || !known?.files[chosen] || known.files.filter(Boolean).length < (window.candidates ?? 1));
    const follows = !known?.fresh && !beginsAnew(now, i) && stale;
    if (window.lock && known?.files[chosen]) stale = false;
    else {
      // another candidate leaves a window as it is, but not the one that continues it
      stale = changed || follows || (told !== undefined && (told.chosen ?? 0) !== chosen);
      if (known?.state === "finished" && (changed || follows)) result.set(window.id, { ...known, chosen, state: changed ? "changed" : "waiting" });
    }
  });
  return result;
}

/**
 * The seed of one candidate, as pusa_core/project/plan.py has it.
 * @param {import("./director_project.js").ProjectWindow} window
 * @param {number} index
 * @param {number} candidate
 * @param {unknown} first the node's
 * @returns {number | undefined} undefined where only the run knows it
 */
function seedOf({ seed, retake = 0 }, index, candidate, first) {
  if (seed === undefined && first === undefined) return undefined;
  return Number(seed ?? Number(first) + index) + SEED_STEPS.retake * retake + SEED_STEPS.candidate * candidate;
}

/**
 * All that a window was made from, without the frames of its neighbours.
 * @param {Project} project
 * @param {import("./director_plan.js").Plan} plan
 * @param {number} index
 * @param {number} fps
 * @param {Record<string, unknown>} more settings that other inputs may decide
 */
function signature(project, plan, index, fps, more) {
  const { start, firstNew, end, length, given } = plan.windows[index];
  const inside = (/** @type {{at: number}} */ { at }, frames = 1) => at < end && at + frames > firstNew;
  const own = Object.entries(project.windows[index]).filter(([name, value]) => !ASIDE.includes(name) && value !== undefined);
  const spans = promptSpans(project, plan, index, fps);
  const parts = {
    ...Object.fromEntries(own),
    ...more,
    length,
    given,
    bridge: Boolean(project.windows[index].bridge),
    prompt: spans.length ? spans : promptOf(project, plan, index, fps),
    shared: SHARED.map((name) => project[name]),
    keys: (project.keys ?? []).filter((key) => inside(key)).map((key) => ({ ...key, at: key.at - start })),
    clips: (project.clips ?? []).filter((clip) => inside(clip, clip.frames ?? 1)).map((clip) => ({ ...clip, at: clip.at - start })),
  };
  return written(Object.fromEntries(Object.entries(parts).sort(([a], [b]) => (a < b ? -1 : 1))));
}
