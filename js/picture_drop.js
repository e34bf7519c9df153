// A picture dropped on the timeline: uploaded, loaded by a node of its own, joined to the injector's pictures.
import { api } from "/scripts/api.js";
import { app } from "/scripts/app.js";
import { readTexts } from "./injector.js";
import { addHandle, isFree, moveHandle } from "./timeline_model.js";
import { classOf, slotIndex, sourceOf } from "./wires.js";

/** @typedef {import("/scripts/app.js").LGraphNode} LGraphNode */

const LOADER = "LoadImage";
const JOINER = "ImageBatch";
const GAP = 40;

/**
 * Gives an injector one more picture, or replaces the one that the frame already has.
 * @param {LGraphNode} injector
 * @param {File} file
 * @param {import("./timeline_model.js").Timeline} timeline what the injector's texts say
 * @param {number} frame latent frame it was dropped on
 * @param {number} multiplier of a condition that is added
 * @returns {Promise<import("./timeline_model.js").Texts | null>} the injector's texts after it, null where nothing was done
 */
export async function addPicture(injector, file, timeline, frame, multiplier) {
  const taken = !isFree(timeline, frame);
  const first = sourceOf(injector, "images");
  const isOnly = timeline.handles.length === 1;
  if (taken && first && !(isOnly && classOf(first.node) === LOADER)) {
    tell("This frame has a picture already. Drop on a free frame, or change it in its Load Image node.");
    return null;
  }
  const name = await upload(file);
  if (name === null) return null;
  const texts = readTexts(injector);
  if (taken && first) {
    choose(/** @type {LGraphNode} */ (first.node), name);
    return texts;
  }
  const loader = newNode(LOADER, injector, 1);
  if (!loader) return null;
  choose(loader, name);
  if (!first) {
    link(loader, 0, injector, "images");
    return isOnly ? moveHandle(texts, timeline, 0, frame) : texts;
  }
  const joiner = newNode(JOINER, injector, 0);
  if (!joiner) return null;
  link(/** @type {LGraphNode} */ (first.node), first.slot, joiner, "image1");
  link(loader, 0, joiner, "image2");
  link(joiner, 0, injector, "images");
  return addHandle(texts, timeline, frame, multiplier);
}

/**
 * @param {File} file
 * @returns {Promise<string | null>} its name for LoadImage
 */
async function upload(file) {
  const body = new FormData();
  body.append("image", file);
  const answer = await api.fetchApi("/upload/image", { method: "POST", body });
  if (answer.status !== 200) {
    tell(`ComfyUI did not take ${file.name}: ${answer.status} ${answer.statusText}.`);
    return null;
  }
  const { name, subfolder } = await answer.json();
  return subfolder ? `${subfolder}/${name}` : name;
}

/**
 * @param {string} type
 * @param {LGraphNode} beside
 * @param {number} below how many places under the injector's top
 */
function newNode(type, beside, below) {
  const node = LiteGraph.createNode(type);
  if (!node || !beside.graph) return null;
  const width = Math.max(node.size[0], 270);
  node.pos = [beside.pos[0] - width - GAP, beside.pos[1] + below * 120];
  beside.graph.add(node);
  return node;
}

/**
 * @param {LGraphNode} loader
 * @param {string} name
 */
function choose(loader, name) {
  const widget = loader.widgets?.find((each) => each.name === "image");
  if (!widget) return;
  const values = /** @type {{values?: unknown}} */ (widget.options).values;
  if (Array.isArray(values) && !values.includes(name)) values.push(name);
  widget.value = name;
  widget.callback?.(name, app.canvas, loader);
}

/**
 * @param {LGraphNode} from
 * @param {number} slot
 * @param {LGraphNode} to
 * @param {string} input
 */
function link(from, slot, to, input) {
  from.connectSlots(from.outputs[slot], to, to.inputs[slotIndex(to.inputs, input)], undefined);
}

/** @param {string} detail */
function tell(detail) {
  app.extensionManager.toast.add({ severity: "warn", summary: "Pusa", detail, life: 6000 });
}
