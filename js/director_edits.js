// What a user does to a project: each edit takes a project and gives a new one.
import { MOST_CANDIDATES } from "./generated_facts.js";
import { nearestWhole, placeAt, planOf, windowOverlap } from "./director_plan.js";
import { PLACED } from "./director_project.js";

/** @typedef {import("./bases.js").Base} Base */
/** @typedef {import("./director_project.js").Project} Project */
/** @typedef {import("./director_project.js").ProjectWindow} ProjectWindow */
/** @typedef {import("./director_project.js").Lora} Lora */
/** @typedef {{base: Base, fps: number}} Clock What counts frames and seconds. */
/** @typedef {typeof PLACED[number]} Placed */
/** @typedef {import("./director_scene.js").Selection} Selection */

/**
 * @param {Project} project
 * @param {string} id
 */
export function windowOf(project, id) {
  return project.windows.find((window) => window.id === id) ?? null;
}

/**
 * Whether a selection is in a locked window: neither the window nor its LoRAs can be changed.
 * @param {Project} project
 * @param {Selection} selection
 */
export function isLocked(project, { id }) {
  return Boolean(id && windowOf(project, id)?.lock);
}

/**
 * A window with other settings; undefined takes one away.
 * @param {Project} project
 * @param {string} id
 * @param {Partial<ProjectWindow>} settings
 * @returns {Project}
 */
export function setWindow(project, id, settings) {
  return { ...project, windows: project.windows.map((window) => (window.id === id ? merged(window, settings) : window)) };
}

/**
 * The whole video with other settings; undefined takes one away.
 * @param {Project} project
 * @param {Partial<Project>} settings
 * @param {Clock} clock
 * @returns {Project}
 */
export function setVideo(project, settings, clock) {
  return carried(project, merged(project, settings), clock);
}

/**
 * A window of another length; what comes after it moves along.
 * @param {Project} project
 * @param {string} id
 * @param {number} length video frames; the nearest whole length counts
 * @param {Clock} clock
 * @returns {Project}
 */
export function setLength(project, id, length, clock) {
  const { base } = clock;
  const { windows } = planOf(project);
  const place = windows.find((each) => each.id === id);
  if (!place) return project;
  const shared = Math.max(place.given, windows[place.index + 1]?.given ?? 0, 1);
  const whole = Math.max(nearestWhole(length, base), shared + base.stride);
  return whole === place.length ? project : carried(project, setWindow(project, id, { length: whole }), clock);
}

/**
 * A window that shares another number of frames with the one before; its end stays where it is, so its length goes along.
 * @param {Project} project
 * @param {string} id
 * @param {number} overlap video frames; the nearest whole length counts
 * @param {Clock} clock
 * @returns {Project}
 */
export function setOverlap(project, id, overlap, clock) {
  const { base } = clock;
  const { windows } = planOf(project);
  const place = windows.find((each) => each.id === id);
  if (!place || place.index === 0) return project;
  const most = nearestWhole(windows[place.index - 1].length - base.stride, base);
  const whole = Math.min(Math.max(nearestWhole(overlap, base), 1), most);
  if (whole === place.given) return project;
  return setWindow(project, id, { overlap: whole, length: place.length + whole - place.given });
}

/**
 * One more window behind another one, or at the end.
 * @param {Project} project
 * @param {string | null} after id
 * @param {Clock} clock
 * @returns {{project: Project, id: string}}
 */
export function addWindow(project, after, clock) {
  const id = freeId(project);
  const index = after === null ? project.windows.length : project.windows.findIndex((window) => window.id === after) + 1;
  const windows = [...project.windows];
  windows.splice(index, 0, { id });
  return { project: carried(project, { ...project, windows }, clock), id };
}

/**
 * @param {Project} project
 * @param {string} id
 * @param {Clock} clock
 * @returns {Project}
 */
export function removeWindow(project, id, clock) {
  return carried(project, { ...project, windows: project.windows.filter((window) => window.id !== id) }, clock);
}

/**
 * @param {Project} project
 * @param {string} id
 * @param {number} by places, negative towards the start
 * @param {Clock} clock
 * @returns {Project}
 */
export function moveWindow(project, id, by, clock) {
  const from = project.windows.findIndex((window) => window.id === id);
  const to = Math.min(Math.max(from + by, 0), project.windows.length - 1);
  if (from < 0 || to === from) return project;
  const windows = [...project.windows];
  windows.splice(to, 0, ...windows.splice(from, 1));
  return carried(project, { ...project, windows }, clock);
}

/**
 * The lengths that a window's first half can have: neither half is shorter than what it shares.
 * @param {Project} project
 * @param {string} id
 * @param {Base} base
 * @returns {{place: import("./director_plan.js").Place, shortest: number, longest: number} | null} null where it cannot be cut
 */
function halves(project, id, base) {
  const { windows } = planOf(project);
  const place = windows.find((each) => each.id === id);
  if (!place || windowOf(project, id)?.lock) return null;
  const usual = windowOverlap(project);
  const shortest = Math.max(place.given, usual) + base.stride;
  const longest = place.length - base.stride - Math.max(0, (windows[place.index + 1]?.given ?? 0) - usual);
  return shortest <= longest ? { place, shortest, longest } : null;
}

/**
 * Whether a window can be cut in two.
 * @param {Project} project
 * @param {string} id
 * @param {Base} base
 */
export function canSplit(project, id, base) {
  return halves(project, id, base) !== null;
}

/**
 * A window cut in two at a frame; the video keeps its length, the second half takes over the usual number of frames.
 * @param {Project} project
 * @param {string} id
 * @param {number} frame of the video; the middle of the new frames where it is not among them
 * @param {Clock} clock
 * @returns {{project: Project, id: string}} the id of the second half
 */
export function splitWindow(project, id, frame, { base }) {
  const found = halves(project, id, base);
  const window = windowOf(project, id);
  if (!found || !window) return { project, id };
  const { place, shortest, longest } = found;
  const inside = frame > place.firstNew && frame < place.end;
  const cut = inside ? frame : Math.round((place.firstNew + place.end) / 2);
  const first = Math.min(Math.max(nearestWhole(cut - place.start, base), shortest), longest);
  const usual = windowOverlap(project);
  const second = { ...window, id: freeId(project), length: place.length - first + usual, overlap: usual };
  for (const name of /** @type {const} */ (["lock", "bridge", "retake", "candidates", "chosen"])) delete second[name];
  const index = project.windows.indexOf(window);
  const windows = [...project.windows];
  windows.splice(index, 1, { ...window, length: first }, second);
  return { project: { ...project, windows }, id: second.id };
}

/**
 * The window taken once more: a new seed, as many candidates as asked for, none chosen.
 * @param {Project} project
 * @param {string} id
 * @param {number} candidates
 * @returns {Project}
 */
export function retake(project, id, candidates) {
  const before = windowOf(project, id)?.retake ?? 0;
  return setWindow(project, id, { retake: before + 1, candidates: Math.min(candidates, MOST_CANDIDATES) > 1 ? Math.min(candidates, MOST_CANDIDATES) : undefined, chosen: undefined, lock: undefined });
}

/**
 * One more entry of a list, which stays in the order of time.
 * @template {Placed} List
 * @param {Project} project
 * @param {List} list
 * @param {NonNullable<Project[List]>[number]} entry
 * @returns {{project: Project, index: number}}
 */
export function addPlaced(project, list, entry) {
  const entries = [...(project[list] ?? []), entry].sort((a, b) => a.at - b.at);
  return { project: { ...project, [list]: entries }, index: entries.indexOf(entry) };
}

/**
 * @param {Project} project
 * @param {Placed} list
 * @param {number} index
 * @param {Record<string, unknown>} settings
 * @returns {Project}
 */
export function setPlaced(project, list, index, settings) {
  return { ...project, [list]: (project[list] ?? []).map((each, i) => (i === index ? merged(each, settings) : each)) };
}

/**
 * @param {Project} project
 * @param {Placed} list
 * @param {number} index
 * @returns {Project}
 */
export function removePlaced(project, list, index) {
  return { ...project, [list]: (project[list] ?? []).filter((_, i) => i !== index) };
}

/**
 * A window's LoRA with other settings; null takes it away, an index behind the last one adds it.
 * @param {Project} project
 * @param {string} id
 * @param {number} index
 * @param {Partial<Lora> | null} settings
 * @returns {Project}
 */
export function setLora(project, id, index, settings) {
  const loras = [...(windowOf(project, id)?.loras ?? [])];
  if (settings === null) loras.splice(index, 1);
  else loras[index] = merged(loras[index] ?? { name: "", strength: 1 }, settings);
  return setWindow(project, id, { loras: loras.length > 0 ? loras : undefined });
}

/**
 * The project without what is selected; a locked window keeps itself and its LoRAs.
 * @param {Project} project
 * @param {Selection} selection
 * @param {Clock} clock
 * @returns {Project}
 */
export function removeSelected(project, selection, clock) {
  const { kind, id = "", index = 0 } = selection;
  if (kind === "video" || isLocked(project, selection)) return project;
  if (kind === "window") return removeWindow(project, id, clock);
  if (kind === "lora") return setLora(project, id, index, null);
  return kind === "sound" ? { ...project, sound: undefined } : removePlaced(project, kind, index);
}

/**
 * An id that no window has yet: "w4".
 * @param {Project} project
 */
function freeId(project) {
  const taken = project.windows.map(({ id }) => Number(/^w(\d{1,9})$/i.exec(id)?.[1] ?? 0));
  return `w${Math.max(0, ...taken) + 1}`;
}

/**
 * @template {object} Entry
 * @param {Entry} entry
 * @param {object} settings
 * @returns {Entry}
 */
function merged(entry, settings) {
  const all = { ...entry, ...settings };
  return /** @type {Entry} */ (Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)));
}

/**
 * Takes what lies at a place of the video along with the window that it lay in: pictures and clips of a removed window go
 * with it, prompts stay, since later windows may follow them. A bridge that lost a side is none.
 * @param {Project} before
 * @param {Project} after
 * @param {Clock} clock
 * @returns {Project}
 */
function carried(before, after, { fps }) {
  const [old, now] = [planOf(before), planOf(after)];
  const last = after.windows.length - 1;
  const windows = after.windows.map((window, i) => (window.bridge && (i === 0 || i === last) ? merged(window, { bridge: undefined }) : window));
  const result = { ...after, windows };
  for (const list of PLACED) {
    const scale = list === "prompts" ? fps : 1;
    const moved = (before[list] ?? []).flatMap((entry) => {
      const frame = entry.at * scale;
      const place = placeAt(old, Math.floor(frame));
      if (!place) return [entry];
      const target = now.windows.find(({ id }) => id === place.id);
      if (!target) return list === "prompts" ? [entry] : [];
      const shift = Math.min(frame - place.firstNew, target.end - 1 - target.firstNew) + target.firstNew - frame;
      return [shift === 0 ? entry : { ...entry, at: rounded((frame + shift) / scale) }];
    });
    if (before[list]) Object.assign(result, { [list]: moved.sort((a, b) => a.at - b.at) });
  }
  return result;
}

/** @param {number} value */
function rounded(value) {
  return Math.round(value * 1000) / 1000;
}

/**
 * A window with other settings, some of which may move what comes after it.
 * @param {Project} project
 * @param {string} id
 * @param {Partial<ProjectWindow>} settings
 * @param {Clock} clock
 * @returns {Project}
 */
export function changeWindow(project, id, settings, clock) {
  return carried(project, setWindow(project, id, settings), clock);
}
