// The extension that gives the injectors their noise timeline, as a companion to their plain inputs.
import { app } from "/scripts/app.js";
import { addView, passWheel, takePlace } from "./canvas_view.js";
import { chain } from "./chain.js";
import { make } from "./dom.js";
import { remember, tell, write } from "./graph_building.js";
import { editable, fittingPresets, readInjector, readSurroundings, readTexts } from "./injector.js";
import { isFixed, kindOf } from "./injector_kinds.js";
import { addPicture } from "./picture_drop.js";
import { FRAMES_INJECTOR, isInjector, readLatent } from "./run_reading.js";
import { thumbnail } from "./server_files.js";
import { DEFAULT_MULTIPLIER, DEFAULT_PRESET, settings } from "./settings.js";
import { PRESETS, addHandle, freeFrame, isFree, moveHandle, presetOf, presetTexts, ramp, removeHandle, setMultiplier } from "./timeline_model.js";
import { TimelineView, VIEW_HEIGHT } from "./timeline_view.js";
import { forEachWithin, valueOf } from "./wires.js";
import { speak } from "./words.js";

/** @typedef {import("/scripts/app.js").LGraphNode} LGraphNode */
/** @typedef {import("./timeline_model.js").Texts} Texts */

const TYPE = "pusa_timeline";
const WIDTH = 460;
/** Changes that come with no event (another node's length, a picture, a link) are seen within this time. */
const LOOK_MS = 300;

/** @type {Set<InjectorTimeline>} */
const timelines = new Set();

/**
 * Which handle had the focus when the user undid something: the graph is then built anew, the focus would be lost.
 * @type {{id: unknown, index: number, from: InjectorTimeline} | null}
 */
let focusBeforeUndo = null;

/** The timeline of one node. */
class InjectorTimeline {
  /** @param {LGraphNode} node */
  constructor(node) {
    this.node = node;
    this.shown = "";
    this.view = new TimelineView({
      place: (index, frame, multiplier) => this.edit((texts, timeline) => this.placed(texts, timeline, index, frame, multiplier)),
      add: (frame, multiplier) => this.add(frame, multiplier),
      remove: (index) => this.remove(index),
      ramp: () => this.edit(ramp, true),
      preset: (name) => this.edit((texts, { unit, base }) => this.preset(texts, name, unit, base), true),
      done: remember,
      drop: (file, frame) => this.drop(file, frame),
      wheel: (event) => passWheel(this.view.element, event),
    });
    this.view.element.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && /^[zy]$/i.test(event.key)) focusBeforeUndo = { id: node.id, index: this.view.selected, from: this };
    });
  }

  /** Shows what the node holds now, if that differs from what is shown. */
  refresh() {
    if (!this.node.graph) return;
    const { pictures, ...surroundings } = readSurroundings(this.node);
    const { timeline } = surroundings;
    const thumbnails = (pictures ?? []).map((picture) => (picture?.filename ? thumbnail(picture) : null));
    const presets = fittingPresets(this.node, timeline);
    const name = presetOf(timeline);
    const preset = name !== null && presets.includes(name) ? name : null;
    const picture = { ...surroundings, thumbnails, presets, preset };
    const shown = JSON.stringify(picture);
    if (shown !== this.shown) {
      this.shown = shown;
      this.view.show(picture);
    }
    takePlace(this.node, this.view.element);
    if (focusBeforeUndo && focusBeforeUndo.id === this.node.id && focusBeforeUndo.from !== this && this.view.element.isConnected) {
      this.view.focus(focusBeforeUndo.index);
      focusBeforeUndo = null;
    }
  }

  timeline() {
    const { latentFrames, base } = readLatent(this.node);
    return readInjector(this.node, latentFrames, base);
  }

  /**
   * Writes the texts that an edit leaves. Texts that cannot be read are never written over.
   * @param {(texts: Texts, timeline: import("./timeline_model.js").Timeline) => Texts} change
   * @param {boolean} [isWhole] whether the edit is a gesture of its own, not part of a drag
   */
  edit(change, isWhole = false) {
    const timeline = this.timeline();
    if (!timeline.readable) return;
    const after = change(readTexts(this.node), timeline);
    const { movable, liftable } = editable(this.node);
    const { positions } = kindOf(this.node);
    if (movable && positions) write(this.node, positions, after.positions);
    if (liftable) write(this.node, "noise_multipliers", after.noiseMultipliers);
    this.refresh();
    if (isWhole) remember();
  }

  /**
   * @param {Texts} texts
   * @param {import("./timeline_model.js").Timeline} timeline
   * @param {number} index
   * @param {number} frame
   * @param {number} multiplier
   */
  placed(texts, timeline, index, frame, multiplier) {
    const { movable, liftable } = editable(this.node);
    const moved = movable ? moveHandle(texts, timeline, index, frame) : texts;
    return liftable ? setMultiplier(moved, timeline, index, multiplier) : moved;
  }

  /**
   * @param {number | null} frame
   * @param {number | null} multiplier
   */
  add(frame, multiplier) {
    if (!editable(this.node).countable) return;
    this.edit((texts, timeline) => {
      const target = frame ?? freeFrame(timeline);
      if (target === null || !isFree(timeline, target)) return texts;
      return addHandle(texts, timeline, target, multiplier ?? defaultMultiplier());
    }, true);
    this.view.focus(this.timeline().handles.length - 1);
  }

  /** @param {number} index */
  remove(index) {
    if (editable(this.node).countable) this.edit((texts, timeline) => removeHandle(texts, timeline, index), true);
  }

  /**
   * @param {Texts} texts
   * @param {string} name
   * @param {string} unit
   * @param {import("./bases.js").Base} base
   */
  preset(texts, name, unit, base) {
    const chosen = presetTexts(name, unit, base);
    return isFixed(this.node) ? { ...texts, noiseMultipliers: chosen.noiseMultipliers } : chosen;
  }

  /**
   * @param {File} file
   * @param {number} frame
   */
  async drop(file, frame) {
    const texts = await addPicture(this.node, file, () => this.droppable(), frame, defaultMultiplier());
    if (texts) this.edit(() => texts, true);
  }

  /** What a picture can be added to; null, with a sentence, where the places are not typed here. */
  droppable() {
    const timeline = this.timeline();
    if (timeline.readable && editable(this.node).countable) return timeline;
    tell("A picture can be dropped where the places are typed: here they follow from other inputs. Connect it to the node instead.");
    return null;
  }
}

function defaultMultiplier() {
  const value = Number(app.extensionManager.setting.get(DEFAULT_MULTIPLIER));
  return value >= 0 && value <= 1 ? value : 0.2;
}

/**
 * A new node starts with the preset that the settings name; a loaded one gets its own texts right after this.
 * @param {LGraphNode} node
 */
function applyDefaultPreset(node) {
  const name = String(app.extensionManager.setting.get(DEFAULT_PRESET) ?? "");
  if (!(name in PRESETS) || node.comfyClass !== FRAMES_INJECTOR) return;
  const texts = presetTexts(name, String(valueOf(node, "position_unit")));
  for (const widget of node.widgets ?? []) {
    if (widget.name === "positions") widget.value = texts.positions;
    if (widget.name === "noise_multipliers") widget.value = texts.noiseMultipliers;
  }
}

/** @param {LGraphNode} node */
function addTimeline(node) {
  const timeline = new InjectorTimeline(node);
  const widget = addView(node, TYPE, timeline.view.element, VIEW_HEIGHT);
  const refresh = () => timeline.refresh();
  for (const each of node.widgets ?? []) {
    if (each !== widget) each.callback = chain(each.callback, refresh);
  }
  node.onConfigure = chain(node.onConfigure, refresh);
  node.onConnectionsChange = chain(node.onConnectionsChange, refresh);
  node.onAdded = chain(node.onAdded, () => timelines.add(timeline));
  node.onRemoved = chain(node.onRemoved, () => timelines.delete(timeline));
  if (node.graph) timelines.add(timeline);
  const [width, height] = node.computeSize();
  node.setSize([Math.max(width, WIDTH), Math.max(height, node.size[1])]);
}

app.registerExtension({
  name: "Pusa.Timeline",
  settings,
  init() {
    document.head.append(make("link", { rel: "stylesheet", href: new URL("./timeline.css", import.meta.url).href }));
    setInterval(() => forEachWithin(timelines, ({ node }) => node, app.graph, (timeline) => timeline.refresh()), LOOK_MS);
  },
  nodeCreated(node) {
    if (!isInjector(node)) return;
    speak(String(app.extensionManager.setting.get("Comfy.Locale")));
    applyDefaultPreset(node);
    addTimeline(node);
  },
});
