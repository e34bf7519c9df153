import assert from "node:assert/strict";
import { test } from "node:test";
import { chain } from "../../js/chain.js";
import { coverage, reportHeight } from "../../js/coverage.js";
import { COLOURS, colourOf, expertOf, titleFor } from "../../js/expert_names.js";
import { viewOf } from "../../js/run_reading.js";

/** @type {(expert: string, file: string) => {widgets: {name: string, value: string}[]}} */
const loader = (expert, file) => ({ widgets: [{ name: "expert", value: expert }, { name: "lora_name", value: file }] });

test("the chosen expert counts before the file's name", () => {
  assert.equal(expertOf(loader("low_noise", "pusa_high_noise.safetensors")), "low_noise");
  assert.equal(expertOf(loader("wan2.1", "pusa_high_noise.safetensors")), null);
});

test("on auto the file's name tells the expert, if it names one", () => {
  assert.equal(expertOf(loader("auto", "Wan22_PusaV1_lora_HIGH_resized.safetensors")), "high_noise");
  assert.equal(expertOf(loader("auto", "wan2.2_t2v_lightx2v_4steps_lora_v1.1_low_noise.safetensors")), "low_noise");
  assert.equal(expertOf(loader("auto", "slow_flow.safetensors")), null);
  assert.equal(expertOf(loader("auto", "high_to_low.safetensors")), null);
});

test("a title or a colour of the user's own is kept", () => {
  assert.equal(titleFor("Pusa LoRA Loader", "Pusa LoRA Loader", "high_noise"), "Pusa LoRA Loader (high noise)");
  assert.equal(titleFor("Pusa LoRA Loader (high noise)", "Pusa LoRA Loader", null), "Pusa LoRA Loader");
  assert.equal(titleFor("mine", "Pusa LoRA Loader", "low_noise"), "mine");
  assert.equal(colourOf("low_noise", undefined), COLOURS.low_noise);
  assert.equal(colourOf(null, COLOURS.low_noise), undefined);
  assert.equal(colourOf("low_noise", "#223"), "#223");
});

test("the badge tells coverage, and that something is wrong", () => {
  assert.deepEqual(coverage("Pusa LoRA: a\nLayers: 300 of 300 matched\nRank: 98"), { label: "300 of 300 layers", state: "good" });
  assert.equal(coverage("Layers: 299 of 300 matched, 3 of them whole differences").state, "partial");
  assert.equal(coverage("Layers: 300 of 300 matched\nWarning: high on low").state, "partial");
  assert.equal(coverage("Nothing to report").state, "plain");
});

test("the badge tells given frames, and that some were lost", () => {
  assert.deepEqual(coverage("2 given frames: latent frame 0 (video frame 0) at 0.2; latent frame 20 (video frames 77 to 80) at 0.5."), { label: "2 given frames", state: "good" });
  assert.deepEqual(coverage("1 given frame: latent frame 0 (video frame 0) at 0."), { label: "1 given frame", state: "good" });
  assert.deepEqual(coverage("No given frames: plain text-to-video."), { label: "", state: "plain" });
  assert.deepEqual(coverage("No given frames: plain text-to-video.\nWarning: lost in B."), { label: "No given frames, see below", state: "partial" });
  assert.deepEqual(coverage("Windows 1 to 2: 4 given frames: latent frames 0 to 3.\nWarning: x"), { label: "See below", state: "partial" });
});

test("a report's box is as high as its lines, within limits", () => {
  assert.equal(reportHeight("short"), 64);
  assert.ok(reportHeight(`${"long ".repeat(20)}\n`.repeat(2)) > 64);
  assert.equal(reportHeight("line\n".repeat(100)), 150);
});

test("a picture's value is taken apart as ComfyUI wrote it", () => {
  assert.deepEqual(viewOf("a b.png"), { filename: "a b.png", subfolder: "", type: "input" });
  assert.deepEqual(viewOf("x/y/z.png [output]"), { filename: "z.png", subfolder: "x/y", type: "output" });
});

test("a chained callback keeps the earlier one's receiver, arguments and answer", () => {
  /** @type {unknown[]} */
  const calls = [];
  const both = chain(
    /** @this {{id: number}} */ function (/** @type {number} */ value) {
      calls.push(this.id, value);
      return value + 1;
    },
    (value) => calls.push(value),
  );
  assert.equal(both.call({ id: 7 }, 1), 2);
  assert.deepEqual(calls, [7, 1, 1]);
  assert.equal(chain(undefined, () => {})(), undefined);
});
