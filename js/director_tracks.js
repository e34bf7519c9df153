// The Director's tracks: windows, pictures, clips, prompts, LoRA strengths and sound over one ruler.
import { button, carriedFile, onDrag, seconds } from "./controls.js";
import { windowOf } from "./director_edits.js";
import { isSame, madeOf, marksOf, promptShown } from "./director_scene.js";
import { fit, make, say } from "./dom.js";
import { thumbnail } from "./server_files.js";
import { viewOf } from "./run_reading.js";
import { word } from "./words.js";

/** @typedef {import("./director_scene.js").Scene} Scene */
/** @typedef {import("./director_scene.js").Selection} Selection */
/**
 * @typedef {object} TrackActions What a user can do on the tracks; the owner shows the result.
 * @property {(selection: Selection) => void} select
 * @property {(frame: number) => void} point puts the cursor on a frame
 * @property {(id: string, frame: number) => void} end puts a window's end at a frame
 * @property {(id: string, frame: number) => void} start puts a window's start at a frame, its end stays
 * @property {(id: string, by: number) => void} move changes a window's place in the order
 * @property {(list: "keys" | "clips" | "prompts", index: number, frame: number) => void} place
 * @property {(index: number, multiplier: number) => void} lift a picture's multiplier
 * @property {(id: string, index: number, strength: number) => void} strength
 * @property {() => void} done a gesture has ended
 * @property {(selection: Selection) => void} remove
 * @property {(lane: Lane, frame: number) => void} add
 * @property {(file: File, frame: number) => void} drop
 * @property {(id: string, letter: string) => void} key a letter pressed on a window
 */
/** @typedef {"windows" | "keys" | "clips" | "prompts" | "loras" | "sound"} Lane */

/** @type {Lane[]} */
const LANES = ["windows", "keys", "clips", "prompts", "loras", "sound"];
const FILES = ["image", "video", "audio"];
const ZOOMS = [1, 1.5, 2, 3, 4, 6, 8, 12, 16];
/** Share of the tracks that stays free behind the last window, to drag it longer. */
const ROOM = 0.05;
/** Strength at the top of the LoRA track. */
const STRONGEST = 2;
const STEP = 0.05;
const TICKS = [0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600];
/** Pixels between two numbers of the ruler. */
const TICK_WIDTH = 64;

/** All tracks on screen. */
export class DirectorTracks {
  /** @param {TrackActions} actions */
  constructor(actions) {
    this.actions = actions;
    /** @type {Scene | null} */
    this.scene = null;
    this.zoom = 0;
    /** While something is dragged, frames stay as wide as they were. @type {number | null} */
    this.held = null;
    /** The window whose body is dragged, and where it was taken. */
    this.taken = { id: "", x: 0, moved: false };
    this.ruler = make("div", { class: "pusa-director-ruler", role: "slider", tabindex: "0", "aria-label": word("Time cursor"), "aria-valuemin": 0 });
    this.cursor = make("div", { class: "pusa-director-cursor", "aria-hidden": "true" });
    const labels = make("div", { class: "pusa-director-labels" }, make("div", { class: "pusa-director-corner" }, this.zoomButton("−", -1), this.zoomButton("+", 1)));
    this.space = make("div", { class: "pusa-director-space" }, this.ruler);
    /** @type {Record<string, HTMLElement>} */
    this.lanes = {};
    for (const lane of LANES) {
      labels.append(make("div", { class: `pusa-director-label pusa-lane-${lane}` }, make("span", {}, laneName(lane)), button("+", addTitle(lane), () => this.actions.add(lane, this.scene?.cursor ?? 0))));
      this.lanes[lane] = make("div", { class: "pusa-lane-items", role: "group", "aria-label": laneName(lane) });
      this.space.append(make("div", { class: `pusa-lane pusa-lane-${lane}` }, make("div", { class: "pusa-lane-hint", "aria-hidden": "true" }), this.lanes[lane]));
    }
    this.edges = make("div", { class: "pusa-edges" });
    this.lanes.windows.after(this.edges);
    this.space.append(this.cursor);
    this.scroller = make("div", { class: "pusa-director-scroller" }, this.space);
    this.element = make("div", { class: "pusa-director-tracks" }, labels, this.scroller);
    this.listen();
  }

  /**
   * @param {string} sign
   * @param {number} by
   */
  zoomButton(sign, by) {
    return button(sign, word(by > 0 ? "Show less of the video, larger" : "Show more of the video"), () => this.zoomBy(by));
  }

  /** @param {number} by */
  zoomBy(by) {
    this.zoom = Math.min(Math.max(this.zoom + by, 0), ZOOMS.length - 1);
    this.space.style.width = `${ZOOMS[this.zoom] * 100}%`;
    if (!this.scene) return;
    const { cursor } = this.scene;
    this.scroller.scrollLeft = (cursor / this.span()) * this.scroller.scrollWidth - this.scroller.clientWidth / 2;
    this.show(this.scene);
  }

  listen() {
    onDrag(this.ruler, {
      start: (event) => {
        this.ruler.focus({ preventScroll: true });
        this.actions.point(this.frameAt(event.clientX));
        return true;
      },
      move: (event) => this.actions.point(this.frameAt(event.clientX)),
      end: () => {},
    });
    this.ruler.addEventListener("keydown", (event) => {
      const { cursor, plan, fps } = /** @type {Scene} */ (this.scene);
      const step = event.shiftKey ? Math.round(fps) : 1;
      /** @type {Record<string, number>} */
      const targets = { ArrowLeft: cursor - step, ArrowRight: cursor + step, Home: 0, End: plan.total - 1 };
      if (event.key in targets) this.act(event, () => this.actions.point(targets[event.key]));
    });
    for (const lane of LANES) {
      const { parentElement } = this.lanes[lane];
      parentElement?.addEventListener("dblclick", (event) => {
        const item = event.target instanceof Element && event.target.closest("[tabindex]");
        if (item && parentElement.contains(item)) return; // newer frontends give the node a tabindex of its own
        this.actions.add(lane, this.frameAt(event.clientX));
      });
    }
    this.element.addEventListener("dragover", (event) => {
      if (!carriedFile(event, FILES)) return;
      event.preventDefault();
      event.stopPropagation();
      this.actions.point(this.frameAt(event.clientX));
    });
    this.element.addEventListener("drop", (event) => {
      const file = carriedFile(event, FILES);
      if (!(file instanceof File)) return;
      event.preventDefault();
      event.stopPropagation();
      this.actions.drop(file, this.frameAt(event.clientX));
    });
  }

  /** Frames that the whole width stands for. */
  span() {
    const { plan, base } = /** @type {Scene} */ (this.scene);
    return this.held ?? Math.max(plan.total, base.trainedLength) * (1 + ROOM);
  }

  /** @param {number} clientX */
  frameAt(clientX) {
    const box = this.space.getBoundingClientRect();
    return Math.max(0, Math.round(((clientX - box.left) / box.width) * this.span()));
  }

  /** @param {number} frame */
  left(frame) {
    return `${(frame / this.span()) * 100}%`;
  }

  /** @param {Scene} scene */
  show(scene) {
    this.scene = scene;
    this.showRuler(scene);
    this.showWindows(scene);
    this.showEdges(scene);
    this.showKeys(scene);
    this.showClips(scene);
    this.showPrompts(scene);
    this.showLoras(scene);
    this.showSound(scene);
    for (const lane of LANES) {
      const empty = this.lanes[lane].children.length === 0;
      say(/** @type {HTMLElement} */ (this.lanes[lane].previousElementSibling), empty ? laneHint(lane) : "");
    }
    this.cursor.style.left = this.left(scene.cursor);
  }

  /** @param {Scene} scene */
  showRuler({ fps, cursor, plan }) {
    const whole = this.span() / fps;
    const width = (this.scroller.clientWidth || 700) * ZOOMS[this.zoom];
    const step = TICKS.find((each) => (each / whole) * width >= TICK_WIDTH) ?? 1200;
    fit(this.ruler, Math.floor(whole / step) + 1, () => make("span")).forEach((mark, i) => {
      say(mark, `${Number((i * step).toFixed(2))} s`);
      mark.style.left = this.left(i * step * fps);
    });
    this.ruler.setAttribute("aria-valuemax", String(Math.max(0, plan.total - 1)));
    this.ruler.setAttribute("aria-valuenow", String(cursor));
    this.ruler.setAttribute("aria-valuetext", word("frame {frame}, {time}", { frame: cursor, time: seconds(cursor, fps) }));
  }

  /** @param {Scene} scene */
  showWindows(scene) {
    const { plan, selection, fps } = scene;
    fit(this.lanes.windows, plan.windows.length, (index) => this.makeWindow(index)).forEach((element, index) => {
      const { id, start, given, firstNew, length, end } = plan.windows[index];
      const { state, pictures, chosen } = madeOf(scene, id);
      const [picture, overlap, text] = /** @type {HTMLElement[]} */ ([...element.children]);
      const marks = marksOf(scene, id);
      this.put(element, start, length);
      choose(element, selection.kind === "window" && selection.id === id);
      element.classList.toggle("pusa-locked", Boolean(windowOf(scene.project, id)?.lock));
      element.dataset.state = state;
      overlap.style.width = `${(given / length) * 100}%`;
      text.style.marginLeft = `${(given / length) * 100}%`;
      text.style.marginRight = `${((end - (plan.windows[index + 1]?.start ?? end)) / length) * 100}%`;
      const shown = pictures[chosen];
      showPicture(picture, shown ? thumbnail(shown) : "", `${(given / length) * 100}%`);
      const [title, prompt] = /** @type {HTMLElement[]} */ ([...text.children]);
      const badges = fit(title, marks.length + 1, () => make("span"));
      say(badges[0], id);
      marks.forEach((mark, i) => {
        badges[i + 1].className = `pusa-mark pusa-mark-${mark.name}`;
        say(badges[i + 1], mark.text);
      });
      say(prompt, promptShown(scene, index));
      element.setAttribute("aria-label", word("Window {id}, {number} of {count}: frames {first} to {last}, {from} to {to}, {given} taken over; {state}", {
        id,
        number: index + 1,
        count: plan.windows.length,
        first: firstNew,
        last: end - 1,
        from: seconds(firstNew, fps),
        to: seconds(end, fps),
        given,
        state: marks.map((mark) => mark.text).join(", "),
      }));
      element.title = promptShown(scene, index);
    });
  }

  /** @param {number} index */
  makeWindow(index) {
    const text = make("div", { class: "pusa-window-text" }, make("div", { class: "pusa-window-title" }), make("div", { class: "pusa-window-prompt" }));
    const element = make("div", { class: "pusa-window", role: "button", tabindex: "0" }, make("div", { class: "pusa-window-picture" }), make("div", { class: "pusa-window-overlap" }), text);
    onDrag(element, {
      start: (event) => {
        this.taken = { id: this.windowAt(index), x: event.clientX, moved: false };
        element.focus({ preventScroll: true });
        this.actions.select({ kind: "window", id: this.taken.id });
        this.actions.point(this.frameAt(event.clientX));
        this.hold();
        return true;
      },
      move: (event) => this.carry(event.clientX),
      end: () => this.letGo(),
    });
    element.addEventListener("focus", () => this.actions.select({ kind: "window", id: this.windowAt(index) }));
    element.addEventListener("keydown", (event) => this.windowKey(event, index));
    return element;
  }

  /**
   * Borders lie above all windows: the end of one is inside the next.
   * @param {Scene} scene
   */
  showEdges({ plan }) {
    fit(this.edges, plan.windows.length * 2, (i) => this.makeEdge(Math.floor(i / 2), i % 2 === 0 ? "start" : "end")).forEach((edge, i) => {
      const { id, index, start, end } = plan.windows[Math.floor(i / 2)];
      const isStart = i % 2 === 0;
      edge.style.left = this.left(isStart ? start : end);
      edge.hidden = !this.canEdit(id) || (isStart && index === 0);
    });
  }

  /**
   * @param {number} index of its window
   * @param {"start" | "end"} side
   */
  makeEdge(index, side) {
    const edge = make("div", { class: `pusa-edge pusa-edge-${side}`, title: side === "end" ? word("Drag: longer or shorter") : word("Drag: overlap with the window before") });
    let id = "";
    onDrag(edge, {
      start: () => {
        id = this.windowAt(index);
        this.actions.select({ kind: "window", id });
        this.hold();
        return true;
      },
      move: (event) => this.actions[side](id, this.frameAt(event.clientX)),
      end: () => this.letGo(),
    });
    return edge;
  }

  /**
   * A window dragged past the middle of its neighbour changes places with it.
   * @param {number} clientX
   */
  carry(clientX) {
    const { taken } = this;
    const { plan, editable } = /** @type {Scene} */ (this.scene);
    if (!editable || (!taken.moved && Math.abs(clientX - taken.x) < 8)) return;
    taken.moved = true;
    const frame = this.frameAt(clientX);
    const index = plan.windows.findIndex(({ id }) => id === taken.id);
    const middle = (/** @type {number} */ i) => (plan.windows[i].firstNew + plan.windows[i].end) / 2;
    if (index + 1 < plan.windows.length && frame > middle(index + 1)) this.actions.move(taken.id, 1);
    else if (index > 0 && frame < middle(index - 1)) this.actions.move(taken.id, -1);
  }

  /**
   * @param {KeyboardEvent} event
   * @param {number} index
   */
  windowKey(event, index) {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey) return;
    const scene = /** @type {Scene} */ (this.scene);
    const { plan, base } = scene;
    const { id, end } = plan.windows[index];
    const by = event.key === "ArrowRight" ? 1 : -1;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      this.act(event, () => {
        if (event.altKey) this.actions.move(id, by);
        this.focusWindow(Math.min(Math.max(index + by, 0), plan.windows.length - 1));
      }, event.altKey);
    } else if (event.altKey) return;
    else if (event.key === "+" || event.key === "-") {
      if (this.canEdit(id)) this.act(event, () => this.actions.end(id, end + (event.key === "+" ? base.stride : -base.stride)), true);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.act(event, () => {
        this.actions.remove({ kind: "window", id });
        this.focusWindow(Math.min(index, plan.windows.length - 2));
      }, true);
    } else if (event.key === "Insert") this.act(event, () => this.actions.add("windows", end), true);
    else if (event.key === "Enter" || event.key === " " || /^[lrbs]$/i.test(event.key)) this.act(event, () => this.actions.key(id, event.key.toLowerCase()));
  }

  /** @param {number} index */
  focusWindow(index) {
    const element = this.lanes.windows.children[index];
    if (element instanceof HTMLElement) element.focus({ preventScroll: true });
  }

  /** Gives the keyboard to what is selected. @param {Selection} selection */
  focus(selection) {
    const { plan } = /** @type {Scene} */ (this.scene);
    if (selection.kind === "window") this.focusWindow(plan.windows.findIndex(({ id }) => id === selection.id));
    const lane = this.lanes[selection.kind];
    const element = lane?.children[selection.index ?? 0];
    if (element instanceof HTMLElement) element.focus({ preventScroll: true });
  }

  /** @param {Scene} scene */
  showKeys({ project, selection, fps }) {
    const keys = project.keys ?? [];
    fit(this.lanes.keys, keys.length, (index) => this.makePlaced("keys", index, make("div", { class: "pusa-key-picture" }), make("span"))).forEach((element, index) => {
      const { at, picture, multiplier = 0 } = keys[index];
      element.style.left = this.left(at);
      choose(element, isSame(selection, { kind: "keys", index }));
      showPicture(/** @type {HTMLElement} */ (element.children[0]), picture ? thumbnail(viewOf(picture)) : "");
      say(/** @type {HTMLElement} */ (element.children[1]), String(multiplier));
      element.setAttribute("aria-label", word("Picture {name} at frame {frame}, {time}, noise multiplier {multiplier}", { name: picture, frame: at, time: seconds(at, fps), multiplier }));
      element.title = `${picture}\n${seconds(at, fps)}`;
    });
  }

  /** @param {Scene} scene */
  showClips({ project, selection, base, fps }) {
    const clips = project.clips ?? [];
    fit(this.lanes.clips, clips.length, (index) => this.makePlaced("clips", index, make("span"))).forEach((element, index) => {
      const { at, file, frames = base.stride + 1, multiplier = 0 } = clips[index];
      this.put(element, at, frames);
      choose(element, isSame(selection, { kind: "clips", index }));
      say(/** @type {HTMLElement} */ (element.children[0]), file);
      element.setAttribute("aria-label", word("Clip {name} at frame {frame}, {time}, {count} frames, noise multiplier {multiplier}", { name: file, frame: at, time: seconds(at, fps), count: frames, multiplier }));
      element.title = file;
    });
  }

  /** @param {Scene} scene */
  showPrompts({ project, plan, selection, fps }) {
    const prompts = project.prompts ?? [];
    const ends = prompts.map(({ at }) => Math.min(plan.total, ...prompts.filter((other) => other.at > at).map((other) => other.at * fps)));
    fit(this.lanes.prompts, prompts.length, (index) => this.makePlaced("prompts", index, make("span"))).forEach((element, index) => {
      const { at, text } = prompts[index];
      this.put(element, at * fps, Math.max(ends[index] - at * fps, 1));
      choose(element, isSame(selection, { kind: "prompts", index }));
      say(/** @type {HTMLElement} */ (element.children[0]), text || word("(no text yet)"));
      element.setAttribute("aria-label", word("Prompt from {time} on: {text}", { time: `${at} s`, text }));
      element.title = text;
    });
  }

  /**
   * An entry that can be dragged along time.
   * @param {"keys" | "clips" | "prompts"} list
   * @param {number} index
   * @param {...HTMLElement} children
   */
  makePlaced(list, index, ...children) {
    const element = make("div", { class: `pusa-placed pusa-placed-${list}`, role: "button", tabindex: "0" }, ...children);
    let grip = 0;
    onDrag(element, {
      start: (event) => {
        element.focus({ preventScroll: true });
        if (!this.scene?.editable) return false;
        grip = this.frameAt(event.clientX) - this.frameOf(list, index);
        this.hold();
        return true;
      },
      move: (event) => this.actions.place(list, index, this.frameAt(event.clientX) - grip),
      end: () => this.letGo(),
    });
    element.addEventListener("focus", () => this.actions.select({ kind: list, index }));
    element.addEventListener("keydown", (event) => this.placedKey(event, list, index));
    return element;
  }

  /**
   * @param {KeyboardEvent} event
   * @param {"keys" | "clips" | "prompts"} list
   * @param {number} index
   */
  placedKey(event, list, index) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { project, fps } = /** @type {Scene} */ (this.scene);
    const frame = this.frameOf(list, index);
    const step = event.shiftKey ? Math.round(fps) : 1;
    const multiplier = project.keys?.[index]?.multiplier ?? 0;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this.actions.place(list, index, frame - step),
      ArrowRight: () => this.actions.place(list, index, frame + step),
      Delete: () => this.actions.remove({ kind: list, index }),
      Backspace: () => this.actions.remove({ kind: list, index }),
      Enter: () => this.actions.key("", "enter"),
    };
    if (list === "keys") {
      keys.ArrowUp = () => this.actions.lift(index, multiplier + STEP);
      keys.ArrowDown = () => this.actions.lift(index, multiplier - STEP);
    }
    const found = keys[event.key];
    if (found) this.act(event, found, event.key !== "Enter");
  }

  /**
   * @param {"keys" | "clips" | "prompts"} list
   * @param {number} index
   */
  frameOf(list, index) {
    const { project, fps } = /** @type {Scene} */ (this.scene);
    const at = project[list]?.[index]?.at ?? 0;
    return list === "prompts" ? Math.round(at * fps) : at;
  }

  /** @param {Scene} scene */
  showLoras({ project, plan, selection }) {
    const all = project.windows.flatMap(({ id, loras = [] }, w) => loras.map((lora, index) => ({ id, index, lora, count: loras.length, place: plan.windows[w] })));
    fit(this.lanes.loras, all.length, (i) => this.makeLora(i)).forEach((element, i) => {
      const { id, index, lora, count, place } = all[i];
      const width = (place.end - place.firstNew) / count;
      const strength = typeof lora.strength === "number" ? lora.strength : 1;
      this.put(element, place.firstNew + width * index, width);
      choose(element, isSame(selection, { kind: "lora", id, index }));
      element.dataset.window = id;
      element.dataset.index = String(index);
      const [bar, text] = /** @type {HTMLElement[]} */ ([...element.children]);
      bar.style.height = `${Math.min(Math.max(strength / STRONGEST, 0), 1) * 100}%`;
      say(text, `${strength} ${shortName(lora.name)}`);
      element.setAttribute("aria-label", word("LoRA {name} of window {id}", { name: lora.name, id }));
      element.setAttribute("aria-valuenow", String(strength));
      element.title = `${lora.name}: ${strength}`;
    });
  }

  /** @param {number} i */
  makeLora(i) {
    const element = make(
      "div",
      { class: "pusa-lora", role: "slider", tabindex: "0", "aria-orientation": "vertical", "aria-valuemin": 0, "aria-valuemax": STRONGEST },
      make("div", { class: "pusa-lora-bar" }),
      make("span"),
    );
    const where = () => ({ kind: /** @type {const} */ ("lora"), id: element.dataset.window ?? "", index: Number(element.dataset.index) });
    const strength = () => Number(element.getAttribute("aria-valuenow"));
    let [from, y] = [0, 0];
    onDrag(element, {
      start: (event) => {
        element.focus({ preventScroll: true });
        [from, y] = [strength(), event.clientY];
        return this.canEdit(where().id);
      },
      move: (event) => {
        const { height } = element.getBoundingClientRect();
        this.actions.strength(where().id, where().index, stepped(from + ((y - event.clientY) / height) * STRONGEST));
      },
      end: () => this.actions.done(),
    });
    element.addEventListener("focus", () => this.actions.select(where()));
    element.addEventListener("keydown", (event) => {
      const up = { ArrowUp: STEP, ArrowDown: -STEP }[event.key];
      if (up && this.canEdit(where().id)) this.act(event, () => this.actions.strength(where().id, where().index, stepped(strength() + up)), true);
      else if (event.key === "Delete" || event.key === "Backspace") this.act(event, () => this.actions.remove(where()), true);
      else if (event.key === "Enter") this.act(event, () => this.actions.key("", "enter"));
    });
    element.dataset.number = String(i);
    return element;
  }

  /** @param {Scene} scene */
  showSound({ project, plan, selection, wave, fps }) {
    const { sound } = project;
    const [element] = fit(this.lanes.sound, sound ? 1 : 0, () => {
      const made = make("div", { class: "pusa-sound", role: "button", tabindex: "0" }, svg(), make("span"));
      made.addEventListener("focus", () => this.actions.select({ kind: "sound" }));
      made.addEventListener("keydown", (event) => {
        if (event.key === "Delete" || event.key === "Backspace") this.act(event, () => this.actions.remove({ kind: "sound" }), true);
        else if (event.key === "Enter") this.act(event, () => this.actions.key("", "enter"));
      });
      return made;
    });
    if (!element || !sound) return;
    const from = typeof sound.from === "number" ? sound.from : 0;
    const whole = plan.total / fps;
    const heard = wave ? Math.min(Math.max(wave.seconds - from, 0), whole) : whole;
    this.put(element, 0, Math.max(heard * fps, 1));
    choose(element, selection.kind === "sound");
    const picture = /** @type {SVGElement} */ (element.children[0]);
    picture.setAttribute("viewBox", `${from} -1 ${Math.max(heard, 0.01)} 2`);
    const path = /** @type {SVGElement} */ (picture.firstElementChild);
    if (path.getAttribute("d") !== (wave?.path ?? "")) path.setAttribute("d", wave?.path ?? "");
    say(/** @type {HTMLElement} */ (element.children[1]), sound.file);
    element.setAttribute("aria-label", word("Sound {name} from {time} on", { name: sound.file, time: `${from} s` }));
  }

  /**
   * @param {HTMLElement} element
   * @param {number} frame
   * @param {number} frames
   */
  put(element, frame, frames) {
    element.style.left = this.left(frame);
    element.style.width = this.left(frames);
  }

  /** @param {number} index */
  windowAt(index) {
    return this.scene?.plan.windows[index]?.id ?? "";
  }

  /** @param {string} id */
  canEdit(id) {
    const { scene } = this;
    return Boolean(scene?.editable && !windowOf(scene.project, id)?.lock);
  }

  hold() {
    this.held = this.span();
  }

  letGo() {
    this.held = null;
    this.actions.done();
    if (this.scene) this.show(this.scene);
  }

  /**
   * A key that is ours: ComfyUI would move or delete the whole node.
   * @param {KeyboardEvent} event
   * @param {() => void} act
   * @param {boolean} [isEdit]
   */
  act(event, act, isEdit = false) {
    event.preventDefault();
    event.stopPropagation();
    if (isEdit && !this.scene?.editable) return;
    act();
    if (isEdit) this.actions.done();
  }
}

/** @param {Lane} lane */
function laneName(lane) {
  return { windows: word("Windows"), keys: word("Pictures"), clips: word("Clips"), prompts: word("Prompts"), loras: word("LoRAs"), sound: word("Sound") }[lane];
}

/** @param {Lane} lane */
function addTitle(lane) {
  return {
    windows: word("Add a window behind the selected one"),
    keys: word("Add a picture at the time cursor"),
    clips: word("Add a clip at the time cursor"),
    prompts: word("Add a prompt at the time cursor"),
    loras: word("Add a LoRA to the selected window"),
    sound: word("Choose the sound of the video"),
  }[lane];
}

/** @param {Lane} lane */
function laneHint(lane) {
  return {
    windows: word("No window yet: press + or double-click here"),
    keys: word("Drop pictures here: the video passes through them"),
    clips: word("Drop clips here: the video takes their frames over"),
    prompts: word("Double-click: a prompt from that second on"),
    loras: word("LoRAs of each window; drag them up and down"),
    sound: word("Drop a sound file here; it is kept in the video's file"),
  }[lane];
}

/**
 * @param {HTMLElement} element
 * @param {boolean} isSelected
 */
function choose(element, isSelected) {
  element.classList.toggle("pusa-selected", isSelected);
  if (element.getAttribute("role") === "button") element.setAttribute("aria-pressed", String(isSelected));
}

/**
 * @param {HTMLElement} element
 * @param {string} url
 * @param {string} [left] where it begins
 */
function showPicture(element, url, left) {
  const image = url ? `url("${url}")` : "";
  if (element.dataset.image !== image) {
    element.dataset.image = image;
    element.style.backgroundImage = image;
  }
  element.hidden = !url;
  if (left !== undefined) element.style.left = left;
}

function svg() {
  const page = new DOMParser().parseFromString('<svg preserveAspectRatio="none"><path /></svg>', "text/html");
  return /** @type {Element} */ (page.body.firstElementChild);
}

/** @param {unknown} name of a LoRA's file */
function shortName(name) {
  return String(name ?? "").replace(/^.*[\\/]/, "").replace(/\.[^.]*$/, "");
}

/** @param {number} value */
function stepped(value) {
  return Math.round(value / STEP) * STEP === 0 ? 0 : Number((Math.round(value / STEP) * STEP).toFixed(2));
}
