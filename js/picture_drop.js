// A picture dropped on the timeline: uploaded, loaded by a node of its own, joined to the injector's pictures.
import { app } from "/scripts/app.js";
import { link, newNode, share, tell } from "./graph_building.js";
import { readTexts } from "./injector.js";
import { upload } from "./server_files.js";
import { addHandle, isFree, moveHandle } from "./timeline_model.js";
import { classOf, isWithin, sourceOf } from "./wires.js";

/** @typedef {import("/scripts/app.js").LGraphNode} LGraphNode */
/** @typedef {import("./timeline_model.js").Timeline} Timeline */

const LOADER = "LoadImage";
const JOINER = "ImageBatch";

/**
 * Gives an injector one more picture, or replaces the one that the frame already has.
 * @param {LGraphNode} injector
 * @param {File} file
 * @param {() => Timeline | null} read what the injector's texts say at the moment; null where no picture can be added
 * @param {number} frame latent frame it was dropped on
 * @param {number} multiplier of a condition that is added
 * @returns {Promise<import("./timeline_model.js").Texts | null>} the injector's texts after it, null where nothing was done
 */
export async function addPicture(injector, file, read, frame, multiplier) {
  if (!placeOf(injector, read(), frame)) return null;
  const name = await upload(file);
  if (name === null || !isWithin(injector, app.graph)) return null;
  // what was dropped or typed during the upload counts
  const place = placeOf(injector, read(), frame);
  if (!place) return null;
  const { timeline, first, taken } = place;
  const texts = readTexts(injector);
  if (taken && first) {
    choose(/** @type {LGraphNode} */ (first.node), name);
    return texts;
  }
  const loader = addLoader(injector, name);
  if (!loader) return null;
  if (!first) {
    link(loader, 0, injector, "images");
    return timeline.handles.length === 1 ? moveHandle(texts, timeline, 0, frame) : texts;
  }
  return addHandle(texts, timeline, frame, multiplier);
}

/**
 * What a picture finds on its frame; null, with a sentence, where it cannot be put there.
 * @param {LGraphNode} injector
 * @param {Timeline | null} timeline
 * @param {number} frame latent frame
 */
function placeOf(injector, timeline, frame) {
  if (!timeline) return null;
  const taken = !isFree(timeline, frame);
  const first = sourceOf(injector, "images");
  if (taken && first && !(timeline.handles.length === 1 && classOf(first.node) === LOADER)) {
    tell("This frame has a picture already. Drop on a free frame, or change it in its Load Image node.");
    return null;
  }
  return { timeline, first, taken };
}

/**
 * A new Load Image node whose picture comes after those that the injector has.
 * @param {LGraphNode} injector
 * @param {string | null} name of the picture; null leaves the node's own choice
 * @returns {LGraphNode | null}
 */
export function addLoader(injector, name) {
  const loader = newNode(LOADER, injector, 1);
  if (!loader) return null;
  if (name !== null) choose(loader, name);
  if (!sourceOf(injector, "images")) return loader;
  const joiner = newNode(JOINER, injector, 0);
  if (!joiner) return null;
  share(injector, "images", joiner, "image1");
  link(loader, 0, joiner, "image2");
  link(joiner, 0, injector, "images");
  return loader;
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
