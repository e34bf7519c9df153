// What was made of a window: its picture or video, played in place, and its candidates to choose from.
import { button } from "./controls.js";
import { windowOf } from "./director_edits.js";
import { currentWindow, madeOf } from "./director_scene.js";
import { fit, make, say } from "./dom.js";
import { viewOf } from "./run_reading.js";
import { address, thumbnail } from "./server_files.js";
import { word } from "./words.js";

/** @typedef {import("./director_scene.js").Scene} Scene */
/**
 * @typedef {object} PlayerActions
 * @property {(id: string, candidate: number) => void} choose
 * @property {(selection: import("./director_scene.js").Selection) => void} select
 * @property {(frame: number) => void} point puts the cursor on a frame
 * @property {(id: string) => void} next a window has been played to its end
 */

/** The screen beside the form. */
export class DirectorPlayer {
  /** @param {PlayerActions} actions */
  constructor(actions) {
    this.actions = actions;
    /** @type {Scene | null} */
    this.scene = null;
    /** Window and candidate on the screen. */
    this.id = "";
    this.video = make("video", { muted: "", playsinline: "", preload: "none", tabindex: "-1" });
    this.video.muted = true;
    this.picture = make("img", { alt: "", draggable: "false" });
    this.empty = make("div", { class: "pusa-player-empty" });
    this.play = button("▶", word("Play this window (Space)"), () => this.toggle());
    this.play.classList.add("pusa-play");
    this.candidates = make("div", { class: "pusa-candidates", role: "radiogroup", "aria-label": word("Candidates") });
    this.element = make("div", { class: "pusa-player" }, make("div", { class: "pusa-screen" }, this.picture, this.video, this.empty, this.play), this.candidates);
    this.listen();
  }

  listen() {
    const { video } = this;
    const shown = () => this.showPlaying();
    for (const name of ["play", "pause", "ended", "emptied"]) video.addEventListener(name, shown);
    video.addEventListener("timeupdate", () => {
      const place = this.scene?.plan.windows.find(({ id }) => id === this.id);
      if (!place || !this.scene || video.paused) return;
      this.actions.point(Math.min(place.start + Math.round(video.currentTime * this.scene.fps), place.end - 1));
    });
    video.addEventListener("ended", () => this.actions.next(this.id));
  }

  /** @param {Scene} scene */
  show(scene) {
    this.scene = scene;
    const place = currentWindow(scene);
    const key = scene.selection.kind === "keys" ? scene.project.keys?.[scene.selection.index ?? 0] : undefined;
    const made = place && madeOf(scene, place.id);
    const chosen = made?.chosen ?? 0;
    const file = key ? null : (made?.files[chosen] ?? null);
    this.setVideo(file && place ? place.id : "", file ? address(file) : "");
    const still = key?.picture ? viewOf(key.picture) : made?.pictures[chosen];
    const url = still ? thumbnail(still) : "";
    if ((this.picture.getAttribute("src") ?? "") !== url) this.picture.setAttribute("src", url);
    this.picture.hidden = !url;
    say(this.empty, url || file ? "" : place ? word("Not made yet. Queue the graph; finished windows play here.") : word("No window yet"));
    this.play.hidden = !file;
    this.showCandidates(scene, place?.id ?? "", key ? 0 : (made?.files.length ?? 0));
    this.showPlaying();
  }

  /**
   * @param {string} id
   * @param {string} url
   */
  setVideo(id, url) {
    this.id = id;
    if ((this.video.getAttribute("src") ?? "") === url) return;
    if (url) this.video.setAttribute("src", url);
    else {
      this.video.removeAttribute("src");
      this.video.load();
    }
  }

  showPlaying() {
    const plays = !this.video.paused && !this.video.ended;
    const started = plays || (this.video.currentTime > 0 && !this.video.ended);
    this.video.hidden = !started || !this.id;
    say(this.play, plays ? "❚❚" : "▶");
    this.play.classList.toggle("pusa-playing", plays);
  }

  /**
   * @param {Scene} scene
   * @param {string} id
   * @param {number} count
   */
  showCandidates(scene, id, count) {
    const { pictures, chosen } = madeOf(scene, id);
    const wanted = windowOf(scene.project, id)?.chosen ?? chosen;
    fit(this.candidates, count > 1 ? count : 0, (index) => {
      const made = button("", "", () => this.actions.choose(this.candidates.dataset.window ?? "", index));
      made.setAttribute("role", "radio");
      return made;
    }).forEach((element, index) => {
      const picture = pictures[index];
      element.style.backgroundImage = picture ? `url("${thumbnail(picture)}")` : "";
      say(element, String(index + 1));
      element.title = word("Candidate {number}", { number: index + 1 });
      element.setAttribute("aria-label", element.title);
      element.setAttribute("aria-checked", String(index === wanted));
      element.disabled = !scene.editable;
    });
    this.candidates.dataset.window = id;
  }

  /** Plays or pauses the window on the screen. */
  toggle() {
    if (!this.id) return;
    if (!this.video.paused) {
      this.video.pause();
      return;
    }
    // the cursor runs over frames that the window before shows too
    this.actions.select({ kind: "window", id: this.id });
    void this.video.play().catch(() => {});
  }

  /** Plays the window that is shown now from its beginning. */
  restart() {
    if (!this.id) return;
    this.video.currentTime = 0;
    void this.video.play().catch(() => {});
  }
}
