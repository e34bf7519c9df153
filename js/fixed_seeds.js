// Nodes whose next run goes on from the last one: a new one keeps its seed, or all windows would be made again.
import { app } from "/scripts/app.js";
import { DIRECTOR, LONG_VIDEO } from "./generated_facts.js";
import { classOf } from "./wires.js";

app.registerExtension({
  name: "Pusa.FixedSeeds",
  nodeCreated(node) {
    if (![DIRECTOR, LONG_VIDEO].includes(classOf(node))) return;
    // a loaded node gets its own value right after this
    for (const widget of node.widgets ?? []) if (widget.name === "control_after_generate") widget.value = "fixed";
  },
});
