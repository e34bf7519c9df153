// Turning an image-to-video graph into another task: commands, and entries of the injector's context menu.
import { app } from "/scripts/app.js";
import { inherit, link, newNode, remember, share, tell, write } from "./graph_building.js";
import { editable } from "./injector.js";
import { addLoader } from "./picture_drop.js";
import { videoLength } from "./latent_frames.js";
import { FRAMES_INJECTOR, VIDEO_INJECTOR, readLatent } from "./run_reading.js";
import { presetTexts } from "./timeline_model.js";
import { valueOf } from "./wires.js";

/** @typedef {import("/scripts/app.js").LGraphNode} LGraphNode */

/**
 * One picture at 0 becomes two pictures at 0 and -1, with the authors' multipliers.
 * @param {LGraphNode} injector
 */
function toStartEnd(injector) {
  if (!addLoader(injector, null)) return;
  const texts = presetTexts("Start and end frame", String(valueOf(injector, "position_unit")), readLatent(injector).base);
  write(injector, "positions", texts.positions);
  write(injector, "noise_multipliers", texts.noiseMultipliers);
  remember();
  tell("Choose the last frame in the new Load Image node.", "info");
}

/**
 * The picture gives way to a clip whose end the video goes on from.
 * @param {LGraphNode} injector
 */
function toExtension(injector) {
  const { graph } = injector;
  const video = LiteGraph.createNode(VIDEO_INJECTOR);
  if (!graph || !video) return;
  video.pos = [injector.pos[0], injector.pos[1]];
  graph.add(video);
  const clip = newNode("LoadVideo", video, 1);
  for (const input of ["vae", "latent"]) share(injector, input, video, input);
  if (clip) link(clip, 0, video, "video");
  inherit(injector, video);
  write(video, "noise_multipliers", presetTexts("Extension", "latent frame").noiseMultipliers);
  graph.remove(injector);
  remember();
  const { latentFrames, base } = readLatent(video);
  const short = latentFrames < 5 ? ` The video is short for it: set its length to ${videoLength(9, base)} or more.` : "";
  tell(`Choose the clip to go on from in the new Load Video node.${short}`, "info");
}

/**
 * A conversion writes both texts of the injector: where something else decides them, nothing is done.
 * @param {LGraphNode} injector
 * @param {(injector: LGraphNode) => void} convert
 */
function turn(injector, convert) {
  if (editable(injector).countable) convert(injector);
  else tell("positions or noise_multipliers of the Condition Frame Injector come from elsewhere, and this command writes both: disconnect them first.");
}

/**
 * The injector a command is meant for: the selected one, or the only one.
 * @returns {LGraphNode | null}
 */
function chosenInjector() {
  const isFrames = (/** @type {LGraphNode} */ node) => node.comfyClass === FRAMES_INJECTOR;
  const selected = Object.values(app.canvas.selected_nodes ?? {}).filter((node) => isFrames(/** @type {LGraphNode} */ (node)));
  const all = (app.canvas.graph?.nodes ?? []).filter((node) => isFrames(/** @type {LGraphNode} */ (node)));
  const found = selected.length === 1 ? selected : all;
  if (found.length === 1) return /** @type {LGraphNode} */ (found[0]);
  tell(found.length === 0 ? "There is no Condition Frame Injector in this graph." : "Select the Condition Frame Injector that is meant.");
  return null;
}

const CONVERSIONS = [
  { id: "Pusa.ToStartEnd", label: "Turn this image-to-video graph into start-end frames", convert: toStartEnd },
  { id: "Pusa.ToExtension", label: "Turn this image-to-video graph into an extension", convert: toExtension },
];

app.registerExtension({
  name: "Pusa.Conversions",
  commands: CONVERSIONS.map(({ id, label, convert }) => ({
    id,
    label,
    function: () => {
      const injector = chosenInjector();
      if (injector) turn(injector, convert);
    },
  })),
  menuCommands: [{ path: ["Pusa"], commands: CONVERSIONS.map(({ id }) => id) }],
  getNodeMenuItems(/** @type {LGraphNode} */ node) {
    if (node.comfyClass !== FRAMES_INJECTOR) return [];
    return CONVERSIONS.map(({ label, convert }) => ({ content: label, callback: () => turn(node, convert) }));
  },
});
