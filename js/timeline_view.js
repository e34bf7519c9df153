// The picture of a noise timeline: elements, pointer and keys. It knows nothing of ComfyUI.
import { button, carriedFile, fence, onDrag, seconds } from "./controls.js";
import { fit, make, say } from "./dom.js";
import { firstPixelFrame, lastPixelFrame, videoLength } from "./latent_frames.js";
import { frameTimesteps } from "./schedule.js";
import { word } from "./words.js";

/**
 * @typedef {object} Picture What a timeline shows.
 * @property {import("./timeline_model.js").Timeline} timeline
 * @property {{frame: number, multiplier: number, title: string}[]} others conditions of other injectors on the same latent
 * @property {number[]} multipliers of every latent frame, all injectors together
 * @property {boolean} known whether the length was found in the graph
 * @property {number} fps
 * @property {(string | null)[]} thumbnails address of each handle's picture, null where it is unknown
 * @property {import("./run_reading.js").Run} run
 * @property {string[]} notes
 * @property {boolean} movable whether positions can be edited here
 * @property {boolean} liftable whether multipliers can be edited here
 * @property {string | null} preset name of the preset that is shown
 * @property {string[]} presets names on offer
 * @property {boolean} countable whether conditions can be added and removed here
 * @property {string} typed what the user typed, a line for each text
 */
/**
 * @typedef {object} Actions What a user can do; each returns nothing, the owner shows the result.
 * @property {(index: number, frame: number, multiplier: number) => void} place
 * @property {(frame: number | null, multiplier: number | null) => void} add null: wherever there is room
 * @property {(index: number) => void} remove
 * @property {() => void} ramp
 * @property {(name: string) => void} preset
 * @property {() => void} done a gesture has ended
 * @property {(file: File, frame: number) => void} drop a picture was dropped on a latent frame
 * @property {(event: WheelEvent) => void} wheel
 */

/** Steps up to this number get a row with numbers each; more become a plain heat map. */
const ROWS_WITH_NUMBERS = 8;
/** Bands a heat map has at most. */
const BANDS = 60;
const COARSE = 0.05;
const FINE = 0.01;
/** What can be dropped. */
const PICTURES = ["image"];
/** Height in pixels that shows everything at zoom 1. */
export const VIEW_HEIGHT = 318;

/** One timeline on screen. */
export class TimelineView {
  /** @param {Actions} actions */
  constructor(actions) {
    this.actions = actions;
    /** @type {Picture | null} */
    this.picture = null;
    this.selected = 0;
    /** Where the handle that is dragged was taken. */
    this.drag = { dx: 0, dy: 0 };
    /** @type {{frame: number, step: number | null} | null} */
    this.hovered = null;

    this.presets = make("select", { class: "pusa-presets", "aria-label": word("Preset"), title: word("Settings the Pusa authors published") });
    this.addButton = button(word("+ Add"), word("Add a condition (or double-click on the timeline)"), () => this.actions.add(null, null));
    this.removeButton = button(word("Remove"), word("Remove the selected condition (Delete)"), () => this.remove(this.selected));
    this.rampButton = button(word("Ramp"), word("Multipliers on a straight line from the first condition to the last"), () => this.actions.ramp());
    this.length = make("span", { class: "pusa-length" });
    this.thumbnails = make("div", { class: "pusa-thumbnails" });
    this.columns = make("div", { class: "pusa-columns" });
    this.others = make("div", { class: "pusa-layer" });
    this.handles = make("div", { class: "pusa-layer" });
    const levels = make("div", { class: "pusa-levels", "aria-hidden": "true" }, make("span", {}, word("1 free")), make("span", {}, "0.5"), make("span", {}, word("0 kept")));
    this.plot = make("div", { class: "pusa-plot" }, this.columns, this.others, this.handles);
    this.ruler = make("div", { class: "pusa-ruler", "aria-hidden": "true" });
    this.labels = make("div", { class: "pusa-labels", "aria-hidden": "true" });
    this.steps = make("div", { class: "pusa-steps", role: "img" });
    this.problem = make("div", { class: "pusa-problem", role: "alert" });
    this.status = make("div", { class: "pusa-status", "aria-live": "polite" });
    this.element = make(
      "div",
      { class: "pusa-timeline", role: "group", "aria-label": word("Noise timeline") },
      make("div", { class: "pusa-bar" }, this.presets, this.addButton, this.removeButton, this.rampButton, this.length),
      make("div", { class: "pusa-row pusa-row-thumbnails" }, make("div", { class: "pusa-gutter" }), this.thumbnails),
      make("div", { class: "pusa-row pusa-row-plot" }, levels, this.plot),
      make("div", { class: "pusa-row" }, make("div", { class: "pusa-gutter", "aria-hidden": "true" }, word("latent")), this.ruler),
      make("div", { class: "pusa-row pusa-row-steps" }, this.labels, this.steps, this.problem),
      this.status,
    );
    this.listen();
  }

  listen() {
    const { element, plot, steps, presets } = this;
    presets.addEventListener("change", () => {
      if (presets.value) this.actions.preset(presets.value);
    });
    fence(element, (event) => this.actions.wheel(event));
    plot.addEventListener("dblclick", (event) => {
      if (event.target instanceof Element && event.target.closest(".pusa-handle")) return;
      this.actions.add(this.frameAt(event.clientX), this.multiplierAt(event.clientY, event.shiftKey));
    });
    plot.addEventListener("pointermove", (event) => this.hover(this.frameAt(event.clientX), null));
    steps.addEventListener("pointermove", (event) => this.hover(this.frameAt(event.clientX), this.stepAt(event.clientY)));
    element.addEventListener("pointerleave", () => this.hover(null, null));
    element.addEventListener("dragover", (event) => {
      if (!carriedFile(event, PICTURES)) return;
      event.preventDefault();
      event.stopPropagation();
      this.hover(this.frameAt(event.clientX), null);
    });
    element.addEventListener("drop", (event) => {
      const file = carriedFile(event, PICTURES);
      if (!(file instanceof File)) return;
      event.preventDefault();
      event.stopPropagation();
      this.actions.drop(file, this.frameAt(event.clientX));
    });
  }

  /** @param {Picture} picture */
  show(picture) {
    this.picture = picture;
    const { timeline, known, fps, presets, preset } = picture;
    this.selected = Math.min(this.selected, Math.max(0, timeline.handles.length - 1));
    const names = preset ? presets : ["Custom", ...presets];
    const options = fit(this.presets, names.length, () => make("option"));
    names.forEach((name, i) => {
      say(options[i], word(name));
      options[i].value = presets.includes(name) ? name : "";
    });
    this.presets.value = preset ?? "";
    const countable = timeline.readable && picture.countable;
    this.presets.disabled = presets.length === 0;
    this.presets.hidden = timeline.readable && presets.length === 0;
    this.addButton.disabled = !countable || timeline.handles.length >= timeline.latentFrames;
    this.removeButton.disabled = !countable || timeline.handles.length < 2;
    this.rampButton.disabled = !timeline.readable || !picture.liftable || timeline.handles.length < 2;
    const frames = videoLength(timeline.latentFrames, timeline.base);
    say(this.length, word(known ? "{frames} frames, {time}" : "if {frames} frames, {time}", { frames, time: seconds(frames, fps) }));
    this.length.title = known
      ? word("{count} latent frames at {fps} frames per second", { count: timeline.latentFrames, fps })
      : word("The latent's length is not known before the graph runs; Wan's usual 81 frames are shown");
    this.element.classList.toggle("pusa-unreadable", !timeline.readable);
    this.showColumns(picture);
    this.showOthers(picture);
    this.showHandles(picture);
    this.showThumbnails(picture);
    this.showSteps(picture);
    this.showStatus();
  }

  /** @param {Picture} picture */
  showColumns({ timeline: { latentFrames }, multipliers }) {
    const columns = fit(this.columns, latentFrames, () => make("div", { class: "pusa-column" }, make("div", { class: "pusa-level" })));
    columns.forEach((column, frame) => {
      const level = /** @type {HTMLElement} */ (column.firstElementChild);
      level.style.height = `${multipliers[frame] * 100}%`;
      level.classList.toggle("pusa-free", multipliers[frame] === 1);
      column.classList.toggle("pusa-hovered", this.hovered?.frame === frame);
    });
    const every = latentFrames > 64 ? 8 : latentFrames > 30 ? 4 : latentFrames > 24 ? 2 : 1;
    fit(this.ruler, latentFrames, () => make("span")).forEach((mark, frame) => say(mark, frame % every === 0 ? String(frame) : ""));
  }

  /** @param {Picture} picture */
  showOthers({ others, timeline: { latentFrames } }) {
    fit(this.others, others.length, () => make("div", { class: "pusa-other" })).forEach((mark, i) => {
      const { frame, multiplier, title } = others[i];
      mark.title = word("{title}: latent frame {frame}, noise multiplier {multiplier}", { title, frame, multiplier });
      put(mark, frame, multiplier, latentFrames);
    });
  }

  /** @param {Picture} picture */
  showHandles(picture) {
    const { timeline } = picture;
    const { handles, latentFrames } = timeline;
    fit(this.handles, handles.length, (index) => this.makeHandle(index)).forEach((element, i) => {
      const { frame, multiplier, wrong } = handles[i];
      put(element, frame, multiplier, latentFrames);
      element.classList.toggle("pusa-selected", i === this.selected);
      element.classList.toggle("pusa-wrong", wrong);
      element.classList.toggle("pusa-fixed", !picture.movable && !picture.liftable);
      element.classList.toggle("pusa-lifted-only", !picture.movable && picture.liftable);
      element.setAttribute("aria-label", word("Condition {number} of {count}", { number: i + 1, count: handles.length }));
      element.setAttribute("aria-valuenow", String(multiplier));
      element.setAttribute("aria-valuetext", this.describe(i, picture));
      element.setAttribute("aria-disabled", String(!picture.movable && !picture.liftable));
    });
  }

  /**
   * @param {number} index
   * @returns {HTMLElement}
   */
  makeHandle(index) {
    const handle = make(
      "div",
      { class: "pusa-handle", role: "slider", tabindex: "0", "aria-valuemin": "0", "aria-valuemax": "1", "aria-orientation": "vertical" },
      String(index + 1),
    );
    onDrag(handle, {
      start: (event) => {
        const box = handle.getBoundingClientRect();
        this.drag = { dx: event.clientX - (box.left + box.width / 2), dy: event.clientY - (box.top + box.height / 2) };
        handle.focus({ preventScroll: true });
        return true;
      },
      move: (event) => {
        const frame = this.frameAt(event.clientX - this.drag.dx);
        this.actions.place(index, frame, this.multiplierAt(event.clientY - this.drag.dy, event.shiftKey));
      },
      end: () => this.actions.done(),
    });
    handle.addEventListener("focus", () => this.select(index));
    handle.addEventListener("keydown", (event) => this.key(event, index));
    return handle;
  }

  /** @param {Picture} picture */
  showThumbnails({ thumbnails, timeline: { handles, latentFrames } }) {
    const known = thumbnails.slice(0, handles.length).flatMap((address, index) => (address ? [{ address, index }] : []));
    this.element.classList.toggle("pusa-no-thumbnails", known.length === 0);
    const slots = spread(known.map(({ index }) => (handles[index].frame + 0.5) / latentFrames));
    const cards = fit(this.thumbnails, known.length, () => make("div", { class: "pusa-thumbnail" }, make("img", { alt: "", draggable: "false" }), make("span")));
    known.forEach(({ address, index }, i) => {
      const [image, number] = cards[i].children;
      if (image.getAttribute("src") !== address) image.setAttribute("src", address);
      image.setAttribute("alt", "");
      say(/** @type {HTMLElement} */ (number), String(index + 1));
      cards[i].style.left = `${slots[i] * 100}%`;
    });
  }

  /** @param {Picture} picture */
  showSteps({ timeline, run, multipliers, typed }) {
    const stopped = timeline.problem !== null;
    this.element.classList.toggle("pusa-stopped", stopped);
    say(this.problem, stopped ? `${timeline.problem}${timeline.readable ? "" : `\n${typed}`}` : "");
    if (stopped) return;
    const { sigmas, highSteps } = run;
    const count = sigmas.length - 1;
    const table = frameTimesteps(sigmas, multipliers);
    const bands = Math.min(count, BANDS);
    const rows = Array.from({ length: bands }, (_, i) => Math.floor((i * count) / bands));
    const numbered = count <= ROWS_WITH_NUMBERS && timeline.latentFrames <= 24;
    this.steps.style.fontSize = timeline.latentFrames > 16 ? "6.5px" : "8px";
    const columns = fit(this.steps, timeline.latentFrames, () => make("div", { class: "pusa-steps-column" }));
    columns.forEach((column, frame) => {
      const stops = rows.map((step, i) => `${shade(expertOf(step, highSteps), table[step][frame])} ${percent(i, bands)} ${percent(i + 1, bands)}`);
      const background = `linear-gradient(${stops.join(", ")})`;
      if (column.dataset.background !== background) {
        column.dataset.background = background;
        column.style.background = background;
      }
      column.classList.toggle("pusa-hovered", this.hovered?.frame === frame);
      fit(column, numbered ? count : 0, () => make("span")).forEach((cell, step) => say(cell, String(Math.round(table[step][frame]))));
    });
    this.showLabels(count, highSteps);
    this.steps.setAttribute("aria-label", word("Timesteps of {count} steps for {frames} latent frames. {experts}", { count, frames: timeline.latentFrames, experts: expertSentence(count, highSteps) }));
  }

  /**
   * @param {number} count steps
   * @param {number | null} highSteps
   */
  showLabels(count, highSteps) {
    /** @type {[string, string, number][]} text, expert, share */
    let labels;
    if (count <= ROWS_WITH_NUMBERS) {
      labels = Array.from({ length: count }, (_, step) => {
        const expert = expertOf(step, highSteps);
        return [`${step + 1}${expert === "one" ? "" : ` ${word(expert)}`}`, expert, 1];
      });
    } else if (highSteps === null) {
      labels = [[word("{count} steps", { count }), "one", count]];
    } else {
      labels = [[`${highSteps} ${word("high")}`, "high", highSteps], [`${count - highSteps} ${word("low")}`, "low", count - highSteps]];
    }
    const shown = labels.filter(([, , share]) => share > 0);
    fit(this.labels, shown.length, () => make("span")).forEach((element, i) => {
      const [text, expert, share] = shown[i];
      say(element, text);
      element.className = `pusa-label pusa-${expert}`;
      element.style.flexGrow = String(share);
    });
  }

  showStatus() {
    const { picture, hovered } = this;
    if (!picture) return;
    const { timeline, fps, run, notes, multipliers } = picture;
    if (hovered && hovered.frame < timeline.latentFrames) {
      const { frame, step } = hovered;
      const [first, last] = [firstPixelFrame(frame, timeline.base), lastPixelFrame(frame, timeline.base)];
      const sigma = step === null ? undefined : run.sigmas[step];
      const what =
        step === null || sigma === undefined || timeline.problem
          ? word("noise multiplier {multiplier}", { multiplier: round(multipliers[frame]) })
          : word("step {step}{expert}, timestep {timestep}", {
              step: step + 1,
              expert: word(EXPERTS[expertOf(step, run.highSteps)]),
              timestep: round(1000 * sigma * multipliers[frame], 1),
            });
      const values = { frame, first, last, from: seconds(first, fps), to: seconds(last + 1, fps), what };
      const one = "Latent frame {frame}: video frame {first}, {from} to {to}; {what}";
      say(this.status, word(first === last ? one : "Latent frame {frame}: video frames {first} to {last}, {from} to {to}; {what}", values));
      return;
    }
    const count = run.sigmas.length - 1;
    say(this.status, [...notes, run.note || word(count === 1 ? "1 step. {experts}" : "{count} steps. {experts}", { count, experts: expertSentence(count, run.highSteps) })].filter(Boolean).join(" "));
  }

  /**
   * @param {number} index
   * @param {Picture} picture
   */
  describe(index, { timeline, fps }) {
    const { frame, multiplier, wrong } = timeline.handles[index];
    const first = firstPixelFrame(frame, timeline.base);
    const values = { frame, first, time: seconds(first, fps), multiplier: round(multiplier) };
    const said = word("latent frame {frame}, video frame {first}, {time}, noise multiplier {multiplier}", values);
    return wrong ? said + word(", will be refused") : said;
  }

  /** @param {number} index */
  select(index) {
    if (this.selected === index) return;
    this.selected = index;
    if (this.picture) this.showHandles(this.picture);
  }

  /** @param {number} index of a handle; the last one where there are fewer */
  focus(index) {
    const handle = this.handles.children[Math.min(index, this.handles.children.length - 1)];
    if (handle instanceof HTMLElement) handle.focus({ preventScroll: true });
  }

  /** @param {number} index */
  remove(index) {
    this.actions.remove(index);
    this.focus(index);
  }

  /**
   * @param {KeyboardEvent} event
   * @param {number} index
   */
  key(event, index) {
    const handle = this.picture?.timeline.handles[index];
    if (!handle || !this.picture || event.ctrlKey || event.metaKey || event.altKey) return;
    const { frame, multiplier } = handle;
    const size = event.shiftKey ? FINE : COARSE;
    const last = this.picture.timeline.latentFrames - 1;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this.walk(index, frame, -1),
      ArrowRight: () => this.walk(index, frame, 1),
      ArrowUp: () => this.actions.place(index, frame, snapped(multiplier + size, size)),
      ArrowDown: () => this.actions.place(index, frame, snapped(multiplier - size, size)),
      PageUp: () => this.actions.place(index, frame, snapped(multiplier + 0.2, COARSE)),
      PageDown: () => this.actions.place(index, frame, snapped(multiplier - 0.2, COARSE)),
      Home: () => this.actions.place(index, 0, multiplier),
      End: () => this.actions.place(index, last, multiplier),
      Delete: () => this.remove(index),
      Backspace: () => this.remove(index),
      Insert: () => this.actions.add(null, null),
      "+": () => this.actions.add(null, null),
    };
    const act = keys[event.key];
    if (!act) return;
    // ComfyUI would move or delete the whole node.
    event.preventDefault();
    event.stopPropagation();
    act();
    this.actions.done();
  }

  /**
   * One free frame further, over the frames that other handles hold.
   * @param {number} index
   * @param {number} from latent frame
   * @param {number} direction 1 or -1
   */
  walk(index, from, direction) {
    const { handles, latentFrames } = /** @type {Picture} */ (this.picture).timeline;
    for (let frame = from + direction; frame >= 0 && frame < latentFrames; frame += direction) {
      if (!handles.some((handle, i) => i !== index && handle.frame === frame)) {
        this.actions.place(index, frame, handles[index].multiplier);
        return;
      }
    }
  }

  /**
   * @param {number | null} frame
   * @param {number | null} step
   */
  hover(frame, step) {
    const same = this.hovered?.frame === frame && this.hovered?.step === step;
    if (same || (frame === null && !this.hovered) || !this.picture) return;
    this.hovered = frame === null ? null : { frame, step };
    this.showColumns(this.picture);
    for (const [i, column] of [...this.steps.children].entries()) column.classList.toggle("pusa-hovered", i === frame);
    this.showStatus();
  }

  /** @param {number} clientX */
  frameAt(clientX) {
    const box = this.plot.getBoundingClientRect();
    const count = this.picture?.timeline.latentFrames ?? 1;
    return Math.min(Math.max(Math.floor(((clientX - box.left) / box.width) * count), 0), count - 1);
  }

  /**
   * @param {number} clientY
   * @param {boolean} fine
   */
  multiplierAt(clientY, fine) {
    const box = this.plot.getBoundingClientRect();
    return snapped(1 - (clientY - box.top) / box.height, fine ? FINE : COARSE);
  }

  /** @param {number} clientY */
  stepAt(clientY) {
    const box = this.steps.getBoundingClientRect();
    const count = (this.picture?.run.sigmas.length ?? 2) - 1;
    return Math.min(Math.max(Math.floor(((clientY - box.top) / box.height) * count), 0), count - 1);
  }
}

const EXPERTS = { one: "", high: " (high-noise expert)", low: " (low-noise expert)" };

/**
 * @param {number} step
 * @param {number | null} highSteps
 * @returns {"one" | "high" | "low"}
 */
function expertOf(step, highSteps) {
  if (highSteps === null) return "one";
  return step < highSteps ? "high" : "low";
}

/**
 * @param {number} count steps
 * @param {number | null} highSteps
 */
function expertSentence(count, highSteps) {
  if (highSteps === null) return word("One model sees them all.");
  if (highSteps === 0) return word("The low-noise expert sees them all.");
  if (highSteps === count) return word("The high-noise expert sees them all.");
  if (highSteps === 1) return word("The high-noise expert sees step 1, the low-noise expert the rest.");
  return word("The high-noise expert sees steps 1 to {last}, the low-noise expert the rest.", { last: highSteps });
}

/**
 * @param {"one" | "high" | "low"} expert
 * @param {number} timestep 0 to 1000
 */
function shade(expert, timestep) {
  return `color-mix(in srgb, var(--pusa-${expert}) ${Math.round(timestep / 10)}%, var(--pusa-clean))`;
}

/**
 * @param {HTMLElement} element
 * @param {number} frame
 * @param {number} multiplier
 * @param {number} latentFrames
 */
function put(element, frame, multiplier, latentFrames) {
  element.style.left = `${((frame + 0.5) / latentFrames) * 100}%`;
  element.style.top = `${(1 - multiplier) * 100}%`;
}

/**
 * Places of cards along a line, each as near to its wish as the others allow.
 * @param {number[]} wishes 0 to 1
 * @returns {number[]}
 */
export function spread(wishes) {
  const width = Math.min(0.105, 1 / Math.max(1, wishes.length));
  const order = wishes.map((_, i) => i).sort((a, b) => wishes[a] - wishes[b]);
  const places = [...wishes];
  let edge = width / 2;
  for (const i of order) {
    places[i] = Math.max(wishes[i], edge);
    edge = places[i] + width;
  }
  edge = 1 - width / 2;
  for (const i of [...order].reverse()) {
    places[i] = Math.min(places[i], edge);
    edge = places[i] - width;
  }
  return places;
}

/**
 * @param {number} value
 * @param {number} size
 */
function snapped(value, size) {
  return Math.min(Math.max(Math.round(value / size) * size, 0), 1);
}

/**
 * @param {number} i
 * @param {number} count
 */
function percent(i, count) {
  return `${round((100 * i) / count, 2)}%`;
}

/**
 * @param {number} value
 * @param {number} [digits]
 */
function round(value, digits = 3) {
  return Number(value.toFixed(digits));
}
