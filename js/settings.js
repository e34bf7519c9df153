// The pack's settings, under "Pusa".
import { PRESETS } from "./timeline_model.js";

export const DEFAULT_PRESET = "Pusa.Timeline.DefaultPreset";
export const DEFAULT_MULTIPLIER = "Pusa.Timeline.DefaultMultiplier";

/** @type {import("/scripts/app.js").ComfyExtension["settings"]} */
export const settings = [
  {
    id: DEFAULT_PRESET,
    name: "Preset of a new Condition Frame Injector",
    category: ["Pusa", "Timeline", "DefaultPreset"],
    type: "combo",
    options: Object.keys(PRESETS),
    defaultValue: "Image to video",
    tooltip: "Positions and noise multipliers that a newly added injector starts with. Graphs that are loaded keep their own.",
  },
  {
    id: DEFAULT_MULTIPLIER,
    name: "Noise multiplier of an added condition",
    category: ["Pusa", "Timeline", "DefaultMultiplier"],
    type: "slider",
    defaultValue: 0.2,
    attrs: { min: 0, max: 1, step: 0.05 },
    tooltip: "0 keeps the picture as it is, 1 ignores it. The Pusa authors start from 0.2.",
  },
];
