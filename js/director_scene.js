// What the Director's views share: the scene that they show, the names of what is selected, and the words for a window's state.
import { promptOf } from "./director_plan.js";
import { windowOf } from "./director_edits.js";
import { word } from "./words.js";

/** @typedef {import("./director_project.js").Project} Project */
/** @typedef {import("./director_plan.js").Place} Place */
/**
 * @typedef {object} Selection What the panel below the tracks shows.
 * @property {"video" | "window" | "lora" | "keys" | "clips" | "prompts" | "sound"} kind
 * @property {string} [id] of a window
 * @property {number} [index] of a LoRA in its window, or in the project's list
 *
 * @typedef {"new" | "waiting" | "running" | "finished" | "changed"} State waiting: it follows one that is made anew
 * @typedef {object} Made What is on disk of a window, and what happens to it now.
 * @property {State} state
 * @property {(import("./server_files.js").ServerFile | null)[]} files a video for each candidate
 * @property {(import("./server_files.js").ServerFile | null)[]} pictures one for each candidate
 * @property {[number | null, number | null][]} seams of each candidate: the jump to the window before and to the one after, 1 is none
 * @property {number} chosen which candidate is in the video
 * @property {boolean} [fresh] finished in this run, which the record may not tell yet
 *
 * @typedef {object} Scene
 * @property {Project} project
 * @property {import("./director_plan.js").Plan} plan
 * @property {boolean} editable false where the text cannot be read
 * @property {string} problem a sentence, empty where nothing is wrong
 * @property {string} text the widget's
 * @property {import("./bases.js").Base} base
 * @property {number} fps
 * @property {Record<string, unknown>} defaults values of the node's own inputs, by name
 * @property {Selection} selection
 * @property {number} cursor video frame
 * @property {Map<string, Made>} made by window
 * @property {{path: string, seconds: number} | null} wave of the sound's file
 * @property {string[]} loras names on offer
 */

export const VIDEO = /** @type {Selection} */ ({ kind: "video" });

/**
 * Whether two selections are the same.
 * @param {Selection} a
 * @param {Selection} b
 */
export function isSame(a, b) {
  return a.kind === b.kind && a.id === b.id && a.index === b.index;
}

/**
 * The selection where what it names is still there, else the whole video.
 * @param {Selection} selection
 * @param {Project} project
 * @returns {Selection}
 */
export function stillThere(selection, project) {
  const { kind, id = "", index = 0 } = selection;
  if (kind === "window") return windowOf(project, id) ? selection : VIDEO;
  if (kind === "lora") return windowOf(project, id)?.loras?.[index] ? selection : VIDEO;
  if (kind === "sound") return project.sound ? selection : VIDEO;
  if (kind === "video") return selection;
  return project[kind]?.[index] ? selection : VIDEO;
}

/**
 * The window that the tools act on: the selected one, else the one at the cursor.
 * @param {Scene} scene
 * @returns {Place | null}
 */
export function currentWindow({ selection, plan, cursor }) {
  const { windows } = plan;
  if (selection.id) return windows.find(({ id }) => id === selection.id) ?? null;
  return windows.find(({ firstNew, end }) => cursor >= firstNew && cursor < end) ?? windows[windows.length - 1] ?? null;
}

/**
 * @param {Scene} scene
 * @param {string} id
 * @returns {Made}
 */
export function madeOf({ made }, id) {
  return made.get(id) ?? { state: "new", files: [], pictures: [], seams: [], chosen: 0 };
}

/**
 * The marks on a window: what a person decided about it, and how far it is.
 * @param {Scene} scene
 * @param {string} id
 * @returns {{name: string, text: string}[]}
 */
export function marksOf(scene, id) {
  const window = windowOf(scene.project, id);
  const { state, files, chosen } = madeOf(scene, id);
  const marks = [];
  if (window?.lock) marks.push({ name: "lock", text: word("locked") });
  if (window?.bridge) marks.push({ name: "bridge", text: word("bridge") });
  if (files.length > 1) marks.push({ name: "candidate", text: `${chosen + 1}/${files.length}` });
  marks.push({ name: state, text: STATES[state]() });
  return marks;
}

/** @type {Record<State, () => string>} */
const STATES = {
  new: () => word("to make"),
  waiting: () => word("to make again"),
  running: () => word("running"),
  finished: () => word("finished"),
  changed: () => word("changed"),
};

/**
 * The prompt a window follows, as its node's inputs and the text say.
 * @param {Scene} scene
 * @param {number} index
 */
export function promptShown({ project, plan, fps }, index) {
  return promptOf(project, plan, index, fps);
}
