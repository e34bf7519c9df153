// The Director's picture: tools, tracks, screen and form, one below the other.
import { button, fence, seconds } from "./controls.js";
import { canSplit, isLocked, windowOf } from "./director_edits.js";
import { DirectorPanel } from "./director_panel.js";
import { DirectorPlayer } from "./director_player.js";
import { currentWindow, madeOf } from "./director_scene.js";
import { DirectorTracks } from "./director_tracks.js";
import { make, say } from "./dom.js";
import { MOST_CANDIDATES } from "./generated_facts.js";
import { word } from "./words.js";

/** @typedef {import("./director_scene.js").Scene} Scene */
/**
 * @typedef {object} ViewActions What the tools do; the owner shows the result.
 * @property {() => void} addWindow
 * @property {(id: string) => void} split at the cursor
 * @property {(id: string) => void} lock locks, or unlocks
 * @property {(id: string) => void} bridge makes it one, or an ordinary window again
 * @property {(text: string) => void} type the whole text, as typed
 * @property {(event: WheelEvent) => void} wheel
 */
/** @typedef {ViewActions & import("./director_tracks.js").TrackActions & import("./director_panel.js").PanelActions & import("./director_player.js").PlayerActions} Actions */

/** Height in pixels that shows everything at zoom 1. */
export const DIRECTOR_HEIGHT = 508;

/** One Director on screen. */
export class DirectorView {
  /** @param {Actions} actions */
  constructor(actions) {
    this.actions = actions;
    /** @type {Scene | null} */
    this.scene = null;
    this.tracks = new DirectorTracks(actions);
    this.panel = new DirectorPanel(actions);
    this.player = new DirectorPlayer(actions);
    const onWindow = (/** @type {(id: string) => void} */ act) => () => {
      const place = this.scene && currentWindow(this.scene);
      if (place) act(place.id);
    };
    this.tools = {
      add: button(word("+ Window"), word("Add a window behind the selected one"), () => actions.addWindow()),
      split: button(word("Split"), word("Cut the window in two at the time cursor (S)"), onWindow((id) => actions.split(id))),
      back: button("←", word("Move the window towards the start (Alt + ←)"), onWindow((id) => this.move(id, -1))),
      on: button("→", word("Move the window towards the end (Alt + →)"), onWindow((id) => this.move(id, 1))),
      remove: button(word("Remove"), word("Remove what is selected (Delete)"), () => this.remove()),
      lock: button(word("Lock"), word("Never make this window again; its neighbours are made to fit (L)"), onWindow((id) => actions.lock(id))),
      bridge: button(word("Bridge"), word("Make this window from the end of the one before to the start of the one after (B)"), onWindow((id) => actions.bridge(id))),
      retake: button(word("Retake"), word("Make this window again with a new seed, in as many candidates as the number says (R)"), onWindow((id) => actions.retake(id, this.wanted()))),
      video: button(word("Whole video"), word("Settings of the whole video"), () => actions.select({ kind: "video" })),
      text: button(word("Text"), word("The project as text"), () => this.toggleText()),
    };
    this.candidates = make("input", { type: "number", min: 1, max: MOST_CANDIDATES, value: 1, title: word("Candidates of a retake"), "aria-label": word("Candidates of a retake") });
    this.candidates.addEventListener("keydown", (event) => event.stopPropagation());
    this.length = make("span", { class: "pusa-length" });
    const { add, split, back, on, remove, lock, bridge, retake, video, text } = this.tools;
    this.text = make("textarea", { class: "pusa-director-text", spellcheck: "false", "aria-label": word("The project as text") });
    this.problem = make("div", { class: "pusa-director-problem", role: "alert" });
    this.status = make("div", { class: "pusa-director-status", "aria-live": "polite" });
    const gap = () => make("span", { class: "pusa-gap" });
    this.element = make(
      "div",
      { class: "pusa-director", role: "group", "aria-label": word("Director") },
      make("div", { class: "pusa-bar", role: "toolbar" }, add, split, back, on, remove, gap(), lock, bridge, retake, this.candidates, gap(), video, text, this.length),
      this.tracks.element,
      make("div", { class: "pusa-director-lower" }, this.player.element, this.panel.element, this.text),
      this.problem,
      this.status,
    );
    this.listen();
  }

  listen() {
    fence(this.element, (event) => this.wheel(event));
    this.text.addEventListener("input", () => this.actions.type(this.text.value));
    this.text.addEventListener("change", () => this.actions.done());
    this.text.addEventListener("keydown", (event) => event.stopPropagation());
  }

  /** What scrolls keeps the wheel as long as it can scroll. @param {WheelEvent} event */
  wheel(event) {
    const target = event.target instanceof Element ? event.target.closest(".pusa-panel-form, .pusa-director-text, .pusa-director-scroller") : null;
    const sideways = target === this.tracks.scroller;
    if (target && (sideways ? target.scrollWidth > target.clientWidth && (event.shiftKey || event.deltaX !== 0) : target.scrollHeight > target.clientHeight)) {
      event.stopPropagation();
      return;
    }
    this.actions.wheel(event);
  }

  /** @param {Scene} scene */
  show(scene) {
    this.scene = scene;
    this.tracks.show(scene);
    this.player.show(scene);
    this.panel.show(scene);
    this.showTools(scene);
    const asText = !scene.editable || this.tools.text.getAttribute("aria-pressed") === "true";
    this.element.classList.toggle("pusa-as-text", asText);
    this.element.classList.toggle("pusa-unreadable", !scene.editable);
    if (this.text !== document.activeElement && this.text.value !== scene.text) this.text.value = scene.text;
    say(this.problem, scene.problem);
    this.problem.hidden = !scene.problem;
    this.status.hidden = Boolean(scene.problem);
    say(this.status, statusOf(scene));
  }

  /** @param {Scene} scene */
  showTools(scene) {
    const { project, plan, editable, base, selection, fps } = scene;
    const place = currentWindow(scene);
    const window = place && windowOf(project, place.id);
    const locked = Boolean(window?.lock);
    const { add, split, back, on, remove, lock, bridge, retake, video } = this.tools;
    const last = plan.windows.length - 1;
    add.disabled = !editable;
    split.disabled = !editable || !place || !canSplit(project, place.id, base);
    back.disabled = !editable || !place || place.index === 0;
    on.disabled = !editable || !place || place.index === last;
    remove.disabled = !editable || selection.kind === "video" || isLocked(project, selection);
    lock.disabled = !editable || !place;
    bridge.disabled = !editable || !place || locked || place.index === 0 || place.index === last;
    retake.disabled = !editable || !place || locked;
    lock.setAttribute("aria-pressed", String(locked));
    bridge.setAttribute("aria-pressed", String(Boolean(window?.bridge)));
    video.setAttribute("aria-pressed", String(selection.kind === "video"));
    say(lock, word(locked ? "Unlock" : "Lock"));
    say(this.length, word("{frames} frames, {time}", { frames: plan.total, time: seconds(plan.total, fps) }));
  }

  /** How many candidates the number beside Retake asks for. */
  wanted() {
    return Math.min(Math.max(Math.round(Number(this.candidates.value)) || 1, 1), MOST_CANDIDATES);
  }

  /**
   * @param {string} id
   * @param {number} by
   */
  move(id, by) {
    this.actions.move(id, by);
    this.actions.done();
  }

  remove() {
    if (!this.scene) return;
    this.actions.remove(this.scene.selection);
    this.actions.done();
  }

  toggleText() {
    const shown = this.tools.text.getAttribute("aria-pressed") !== "true";
    this.tools.text.setAttribute("aria-pressed", String(shown));
    if (this.scene) this.show(this.scene);
    if (shown) this.text.focus({ preventScroll: true });
  }
}

/** @param {Scene} scene */
function statusOf(scene) {
  const { windows } = scene.plan;
  const finished = windows.filter(({ id }) => madeOf(scene, id).state === "finished").length;
  const running = windows.find(({ id }) => madeOf(scene, id).state === "running");
  if (running) return word("Window {id} is being made; {finished} of {count} are finished.", { id: running.id, finished, count: windows.length });
  return word("{finished} of {count} windows are finished. Click a window to edit it, drag its borders, double-click a track to add.", { finished, count: windows.length });
}
