// Loaders that say which expert they belong to, in title and colour, from the moment the user sets it.
import { app } from "/scripts/app.js";
import { chain } from "./chain.js";
import { colourOf, expertOf, titleFor } from "./expert_names.js";
import { LOADERS } from "./generated_facts.js";

/**
 * Title and colour after a change. A title or colour of the user's own is kept.
 * @param {import("/scripts/app.js").LGraphNode} node
 */
function name(node) {
  const expert = expertOf(node);
  const plain = node.constructor.title ?? node.title;
  const title = titleFor(node.title, plain, expert);
  if (title !== node.title) node.title = title;
  const colour = colourOf(expert, node.color);
  if (colour !== node.color) node.color = colour;
  node.setDirtyCanvas(true, true);
}

app.registerExtension({
  name: "Pusa.Experts",
  nodeCreated(node) {
    if (!LOADERS.includes(node.comfyClass ?? "")) return;
    for (const widget of node.widgets ?? []) {
      if (widget.name !== "expert" && widget.name !== "lora_name") continue;
      // Loading a graph sets values without a callback, or before the graph is there: what is saved stays as it is.
      widget.callback = chain(widget.callback, () => {
        if (node.graph && !app.configuringGraph) name(node);
      });
    }
  },
});
