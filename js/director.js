// The extension that gives Pusa Director its tracks, as a companion to its text: the text stays what is saved and queued.
import { api } from "/scripts/api.js";
import { app } from "/scripts/app.js";
import { WAN, baseOfFiles } from "./bases.js";
import { addView, passWheel, takePlace } from "./canvas_view.js";
import { chain } from "./chain.js";
import * as edits from "./director_edits.js";
import { pickFile } from "./director_files.js";
import { planOf } from "./director_plan.js";
import { readProject, writeProject } from "./director_project.js";
import { DirectorRun } from "./director_run.js";
import { VIDEO, currentWindow, isSame, stillThere } from "./director_scene.js";
import { DIRECTOR_HEIGHT, DirectorView } from "./director_view.js";
import { waveOf } from "./director_wave.js";
import { make } from "./dom.js";
import { CLIP_DEFAULTS, DIRECTOR } from "./generated_facts.js";
import { remember, write } from "./graph_building.js";
import { viewOf } from "./run_reading.js";
import { address, upload } from "./server_files.js";
import { forEachWithin, isLinked, valueOf } from "./wires.js";
import { speak } from "./words.js";

/** @typedef {import("/scripts/app.js").LGraphNode} LGraphNode */
/** @typedef {import("./director_project.js").Project} Project */
/** @typedef {import("./director_scene.js").Scene} Scene */
/** @typedef {import("./director_scene.js").Selection} Selection */

const TYPE = "pusa_director";
const TEXT = "project";
const WIDTH = 920;
/** Changes that come with no event (another node's files, a link) are seen within this time. */
const LOOK_MS = 400;
/** Inputs that hold for windows which do not say. */
const DEFAULTS = ["seed", "steps", "cfg"];
/** Inputs that hold for every window. */
const SIZES = ["width", "height", "fps"];

/** @type {Set<Director>} */
const directors = new Set();

/** An undo builds the graph anew: within this time a node of the same id takes over the place where a person was. */
const ANEW_MS = 2000;

/** @type {Map<string, {selection: Selection, cursor: number, focused: boolean, when: number}>} */
const places = new Map();

/** @type {string[]} */
let loras = [];

/** The tracks of one node. */
class Director {
  /** @param {LGraphNode} node */
  constructor(node) {
    this.node = node;
    this.shown = "";
    /** @type {Selection} */
    this.selection = VIDEO;
    this.cursor = 0;
    this.started = false;
    /** Whether an edit waits for its gesture to end. */
    this.dirty = false;
    /** @type {Scene["wave"]} */
    this.wave = null;
    this.waveFile = "";
    this.run = new DirectorRun(() => this.refresh());
    this.view = new DirectorView({
      select: (selection) => this.select(selection),
      point: (frame) => this.point(frame),
      start: (id, frame) => this.edit((project, clock) => this.startAt(project, id, frame, clock)),
      end: (id, frame) => this.edit((project, clock) => this.endAt(project, id, frame, clock)),
      move: (id, by) => this.edit((project, clock) => edits.moveWindow(project, id, by, clock)),
      place: (list, index, frame) => this.edit((project, { fps }) => edits.setPlaced(project, list, index, { at: this.placed(list, index, frame, fps) })),
      lift: (index, multiplier) => this.edit((project) => edits.setPlaced(project, "keys", index, { multiplier: Math.round(Math.min(Math.max(multiplier, 0), 1) * 100) / 100 })),
      strength: (id, index, strength) => this.edit((project) => edits.setLora(project, id, index, { strength: Math.min(Math.max(strength, 0), 2) })),
      remove: (selection) => this.edit((project, clock) => edits.removeSelected(project, selection, clock)),
      add: (lane, frame) => void this.add(lane, frame),
      drop: (file, frame) => void this.drop(file, frame),
      key: (id, letter) => this.key(id, letter),
      addWindow: () => this.addWindow(),
      split: (id) => this.split(id),
      lock: (id) => this.toggle(id, "lock"),
      bridge: (id) => this.toggle(id, "bridge"),
      retake: (id, candidates) => this.whole((project) => edits.retake(project, id, candidates)),
      choose: (id, chosen) => this.whole((project) => edits.setWindow(project, id, { chosen: chosen > 0 ? chosen : undefined, candidates: this.candidatesOf(id) })),
      set: (selection, settings) => this.edit((project, clock) => changed(project, selection, settings, clock)),
      lora: (id, index, settings) => this.edit((project) => edits.setLora(project, id, index, settings)),
      pick: (selection) => void this.pick(selection),
      next: (id) => this.playNext(id),
      type: (text) => this.type(text),
      done: () => this.done(),
      wheel: (event) => passWheel(this.view.element, event),
    });
  }

  /** @returns {Scene} */
  scene() {
    const { node } = this;
    const typed = valueOf(node, TEXT);
    const base = baseOfFiles(node) ?? WAN;
    const { project, problem, readable } = readProject(typed === undefined ? typed : String(typed), base);
    const plan = planOf(project);
    this.selection = stillThere(this.selection, project);
    const fps = Number(valueOf(node, "fps"));
    return {
      project,
      plan,
      problem,
      text: String(typed ?? ""),
      base,
      loras,
      editable: readable && !isLinked(node, TEXT),
      fps: fps > 0 ? fps : base.fps,
      defaults: Object.fromEntries(DEFAULTS.map((name) => [name, valueOf(node, name)])),
      selection: this.selection,
      cursor: Math.min(this.cursor, Math.max(plan.total - 1, 0)),
      made: this.run.made(project, Object.fromEntries([...DEFAULTS, ...SIZES].map((name) => [name, valueOf(node, name)]))),
      wave: this.wave,
    };
  }

  /** Shows what the node holds now, if that differs from what is shown. */
  refresh() {
    if (!this.node.graph) return;
    if (!this.started) this.begin();
    this.run.follow(String(valueOf(this.node, "name") ?? ""));
    const scene = this.scene();
    this.hear(scene.project.sound?.file ?? "");
    const { text, problem, base, fps, defaults, selection, cursor, editable } = scene;
    const shown = JSON.stringify([text, problem, base.id, fps, defaults, selection, cursor, editable, [...scene.made], this.wave?.seconds, loras.length]);
    if (shown !== this.shown) {
      this.shown = shown;
      this.view.show(scene);
    }
    takePlace(this.node, this.view.element);
  }

  /** Takes up where an earlier node of this id was left. */
  begin() {
    this.started = true;
    const place = places.get(String(this.node.id));
    if (!place || Date.now() - place.when > ANEW_MS) {
      const [first] = this.scene().plan.windows;
      if (first) this.selection = { kind: "window", id: first.id };
      return;
    }
    this.selection = place.selection;
    this.cursor = place.cursor;
    if (place.focused) setTimeout(() => this.view.element.isConnected && this.view.tracks.focus(this.selection), LOOK_MS);
  }

  /** The node goes, perhaps to come back at once. */
  leave() {
    const focused = this.view.element.contains(document.activeElement);
    places.set(String(this.node.id), { selection: this.selection, cursor: this.cursor, focused, when: Date.now() });
  }

  /**
   * Writes the text that an edit leaves. A text that cannot be read is never written over.
   * @param {(project: Project, clock: edits.Clock) => Project} change
   */
  edit(change) {
    const { project, editable, base, fps } = this.scene();
    if (!editable) return;
    const after = change(project, { base, fps });
    if (after === project) return;
    const text = writeProject(after);
    if (text !== writeProject(project)) {
      write(this.node, TEXT, text);
      this.dirty = true;
    }
    this.refresh();
  }

  /** An edit that is a gesture of its own. @param {(project: Project, clock: edits.Clock) => Project} change */
  whole(change) {
    this.edit(change);
    this.done();
  }

  /** A gesture has ended: ComfyUI's undo may see it. */
  done() {
    if (!this.dirty) return;
    this.dirty = false;
    remember();
  }

  /** @param {string} text */
  type(text) {
    if (isLinked(this.node, TEXT)) return;
    write(this.node, TEXT, text);
    this.dirty = true;
    this.refresh();
  }

  /** @param {Selection} selection */
  select(selection) {
    if (isSame(selection, this.selection)) return;
    this.selection = selection;
    this.refresh();
  }

  /** @param {number} frame */
  point(frame) {
    const { plan } = this.scene();
    this.cursor = Math.min(Math.max(Math.round(frame), 0), Math.max(plan.total - 1, 0));
    this.refresh();
  }

  /**
   * @param {Project} project
   * @param {string} id
   * @param {number} frame
   * @param {edits.Clock} clock
   */
  endAt(project, id, frame, clock) {
    const place = planOf(project).windows.find((each) => each.id === id);
    return place ? edits.setLength(project, id, frame - place.start, clock) : project;
  }

  /**
   * @param {Project} project
   * @param {string} id
   * @param {number} frame
   * @param {edits.Clock} clock
   */
  startAt(project, id, frame, clock) {
    const place = planOf(project).windows.find((each) => each.id === id);
    return place ? edits.setOverlap(project, id, place.firstNew - frame, clock) : project;
  }

  /**
   * Where an entry of a list lies, inside the video: a frame, for prompts a second.
   * @param {"keys" | "clips" | "prompts"} list
   * @param {number} index
   * @param {number} frame
   * @param {number} fps
   */
  placed(list, index, frame, fps) {
    const { plan, project } = this.scene();
    const inside = Math.min(Math.max(Math.round(frame), 0), Math.max(plan.total - 1, 0));
    if (list !== "prompts") return inside;
    const second = Math.round((inside / fps) * 100) / 100;
    const taken = project.prompts?.some(({ at }, i) => i !== index && at === second);
    return taken ? project.prompts?.[index].at : second;
  }

  addWindow() {
    let id = "";
    this.whole((project, clock) => {
      const after = this.selection.id ?? project.windows[project.windows.length - 1]?.id ?? null;
      const added = edits.addWindow(project, after, clock);
      id = added.id;
      return added.project;
    });
    if (!id) return;
    this.select({ kind: "window", id });
    const place = this.scene().plan.windows.find((each) => each.id === id);
    if (place) this.point(place.firstNew);
    this.view.tracks.focus(this.selection);
  }

  /** @param {string} id */
  split(id) {
    let second = id;
    this.whole((project, clock) => {
      const cut = edits.splitWindow(project, id, this.cursor, clock);
      second = cut.id;
      return cut.project;
    });
    this.select({ kind: "window", id: second });
    this.view.tracks.focus(this.selection);
  }

  /**
   * @param {string} id
   * @param {"lock" | "bridge"} name
   */
  toggle(id, name) {
    this.whole((project) => edits.setWindow(project, id, { [name]: edits.windowOf(project, id)?.[name] ? undefined : true }));
  }

  /**
   * As many candidates as there are to choose from.
   * @param {string} id
   */
  candidatesOf(id) {
    const made = this.scene().made.get(id)?.files.length ?? 1;
    return Math.max(made, this.scene().project.windows.find((window) => window.id === id)?.candidates ?? 1);
  }

  /**
   * A letter on a window, or Enter on anything.
   * @param {string} id
   * @param {string} letter
   */
  key(id, letter) {
    const { tools, player, panel } = this.view;
    if (letter === "enter") panel.focus();
    else if (letter === " ") player.toggle();
    else if (letter === "l") tools.lock.click();
    else if (letter === "b") tools.bridge.click();
    else if (letter === "r") tools.retake.click();
    else if (letter === "s") tools.split.click();
  }

  /**
   * Something new on a track.
   * @param {import("./director_tracks.js").Lane} lane
   * @param {number} frame
   */
  async add(lane, frame) {
    if (lane === "windows") this.addWindow();
    else if (lane === "prompts") this.addPrompt(frame);
    else if (lane === "loras") this.addLora(frame);
    else {
      const file = await pickFile(lane);
      if (file) await this.drop(file, frame);
    }
  }

  /** @param {number} frame */
  addPrompt(frame) {
    let index = -1;
    this.whole((project, { fps }) => {
      const at = Math.round((frame / fps) * 100) / 100;
      if (project.prompts?.some((prompt) => prompt.at === at)) return project;
      const added = edits.addPlaced(project, "prompts", { at, text: "" });
      index = added.index;
      return added.project;
    });
    if (index < 0) return;
    this.select({ kind: "prompts", index });
    this.view.panel.focus();
  }

  /** @param {number} frame */
  addLora(frame) {
    const scene = this.scene();
    const at = scene.plan.windows.find(({ firstNew, end }) => frame >= firstNew && frame < end) ?? currentWindow(scene);
    const window = at && edits.windowOf(scene.project, at.id);
    if (!window || window.lock) return;
    const index = window.loras?.length ?? 0;
    this.whole((project) => edits.setLora(project, window.id, index, { name: loras[0] ?? "", strength: 1 }));
    this.select({ kind: "lora", id: window.id, index });
  }

  /**
   * A file for the track of its kind.
   * @param {File} file
   * @param {number} frame
   */
  async drop(file, frame) {
    if (!this.scene().editable) return;
    const name = await upload(file);
    if (name === null) return;
    const at = Math.min(frame, Math.max(this.scene().plan.total - 1, 0));
    /** @type {Selection} */
    let selection = { kind: "sound" };
    this.whole((project) => {
      if (file.type.startsWith("audio/")) return { ...project, sound: { file: name } };
      const isPicture = file.type.startsWith("image/");
      const added = isPicture
        ? edits.addPlaced(project, "keys", { at, picture: name, multiplier: 0 })
        : edits.addPlaced(project, "clips", { at, file: name, from: 0, frames: CLIP_DEFAULTS.frames, multiplier: CLIP_DEFAULTS.multiplier });
      selection = { kind: isPicture ? "keys" : "clips", index: added.index };
      return added.project;
    });
    this.select(selection);
    this.view.tracks.focus(selection);
  }

  /**
   * Another file for what is selected; for the whole video, the anchor's.
   * @param {Selection} selection
   */
  async pick(selection) {
    const { kind } = selection;
    const file = await pickFile(kind === "clips" || kind === "sound" ? kind : "keys");
    const name = file && (await upload(file));
    if (!name) return;
    const setting = kind === "keys" ? { picture: name } : kind === "video" ? { anchor: { ...this.scene().project.anchor, picture: name } } : { file: name };
    this.whole((project, clock) => changed(project, selection, setting, clock));
  }

  /** The window after one that was played to its end. @param {string} id */
  playNext(id) {
    const { windows } = this.scene().plan;
    const next = windows[windows.findIndex((each) => each.id === id) + 1];
    if (!next || !this.run.hasFile(next.id)) return;
    this.select({ kind: "window", id: next.id });
    this.view.player.restart();
  }

  /** Decodes another sound file. @param {string} file */
  hear(file) {
    if (file === this.waveFile) return;
    this.waveFile = file;
    this.wave = null;
    if (!file) return;
    void waveOf(address(viewOf(file))).then((wave) => {
      if (this.waveFile !== file) return;
      this.wave = wave;
      this.refresh();
    });
  }
}

/**
 * @param {Project} project
 * @param {Selection} selection
 * @param {Record<string, unknown>} settings
 * @param {edits.Clock} clock
 */
function changed(project, { kind, id = "", index = 0 }, settings, clock) {
  if (kind === "video") return edits.setVideo(project, settings, clock);
  if (kind === "sound") return { ...project, sound: /** @type {NonNullable<Project["sound"]>} */ ({ ...project.sound, ...settings }) };
  if (kind === "window" || kind === "lora") {
    return typeof settings.length === "number" ? edits.setLength(project, id, settings.length, clock) : edits.changeWindow(project, id, settings, clock);
  }
  return edits.setPlaced(project, kind, index, settings);
}

/** @param {LGraphNode} node */
function addDirector(node) {
  const director = new Director(node);
  const widget = addView(node, TYPE, director.view.element, DIRECTOR_HEIGHT);
  const refresh = () => director.refresh();
  for (const each of node.widgets ?? []) {
    if (each === widget) continue;
    each.callback = chain(each.callback, refresh);
    if (each.name === TEXT) hide(each);
  }
  node.onConfigure = chain(node.onConfigure, refresh);
  // A graph that is loaded adds and connects its nodes before they have their values.
  const later = () => setTimeout(refresh);
  node.onConnectionsChange = chain(node.onConnectionsChange, later);
  node.onExecuted = chain(node.onExecuted, () => director.run.reload());
  node.onAdded = chain(node.onAdded, () => {
    directors.add(director);
    later();
  });
  node.onRemoved = chain(node.onRemoved, () => {
    directors.delete(director);
    director.leave();
  });
  if (node.graph) directors.add(director);
  const [width, height] = node.computeSize();
  node.setSize([Math.max(width, WIDTH), Math.max(height, node.size[1])]);
}

/**
 * Takes the text's own box away: the view shows the same text, and lets it be typed.
 * @param {NonNullable<LGraphNode["widgets"]>[number]} widget
 */
function hide(widget) {
  widget.hidden = true;
  Object.assign(widget.options, { hidden: true });
  // 1.32 leaves room for it all the same
  widget.computeSize = () => [0, -4];
}

async function listLoras() {
  const answer = await api.fetchApi("/models/loras");
  if (answer.ok) loras = await answer.json();
}

app.registerExtension({
  name: "Pusa.Director",
  init() {
    document.head.append(make("link", { rel: "stylesheet", href: new URL("./director.css", import.meta.url).href }));
    setInterval(() => forEachWithin(directors, ({ node }) => node, app.graph, (director) => director.refresh()), LOOK_MS);
    api.addEventListener("pusa.director", ({ detail }) => {
      for (const { run } of directors) run.hear(detail);
    });
    for (const name of /** @type {const} */ (["execution_success", "execution_error", "execution_interrupted"])) {
      api.addEventListener(name, () => {
        for (const { run } of directors) run.end();
      });
    }
  },
  nodeCreated(node) {
    if (node.comfyClass !== DIRECTOR) return;
    if (loras.length === 0) void listLoras();
    speak(String(app.extensionManager.setting.get("Comfy.Locale")));
    addDirector(node);
  },
});
