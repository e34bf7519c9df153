import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkGraph, runningNodes } from "../../js/graph_check.js";
import { graph } from "./graphs.js";

/** @returns {Record<string, [string, Record<string, unknown>, number?]>} */
const right = () => ({
  1: ["UNETLoader", {}],
  2: ["PusaLoraLoader", { model: ["1"], lora_name: "high.safetensors", alpha: 1.5 }],
  3: ["UNETLoader", {}],
  4: ["PusaLoraLoader", { model: ["3"], lora_name: "low.safetensors", alpha: 1.4 }],
  5: ["PusaMoESwitch", { high_noise: ["2"], low_noise: ["4"] }],
  6: ["EmptyHunyuanLatentVideo", { width: 832, height: 480, length: 81 }],
  7: ["PusaConditionFrames", { latent: ["6"] }],
  8: ["PusaSampler", { model: ["5"], latent: ["7"], cfg: 3, shift: 5 }],
  9: ["CreateVideo", { images: ["8"], fps: 16 }],
});

describe("checkGraph", () => {
  test("a right graph gets nothing", () => assert.deepEqual(checkGraph(graph(right())), []));

  /** @type {[string, string, [string, Record<string, unknown>, number?], RegExp][]} */
  const faults = [
    ["a length", "6", ["EmptyHunyuanLatentVideo", { width: 832, height: 480, length: 80 }], /length 80/],
    ["a size", "6", ["EmptyHunyuanLatentVideo", { width: 850, height: 480, length: 81 }], /850 x 480/],
    ["a frame rate", "9", ["CreateVideo", { images: ["8"], fps: 24 }], /frame rate is 24/],
    ["one file on both experts", "4", ["PusaLoraLoader", { model: ["3"], lora_name: "high.safetensors" }], /both experts/],
    ["a plain sampler", "8", ["KSampler", { model: ["5"], latent: ["7"], cfg: 3 }], /timesteps of their own/],
    ["a rate of Long Video", "9", ["PusaLongVideo", { model: ["5"], fps: 24 }], /frame rate is 24/],
    ["a rate of Video Combine", "9", ["VHS_VideoCombine", { images: ["8"], frame_rate: 24, format: "video/h264-mp4" }], /frame rate is 24/],
    ["frames that a node loses", "8", ["PusaSampler", { model: ["5"], latent: ["rebatched"], cfg: 3, shift: 5 }], /given by PusaConditionFrames are lost in RebatchLatents/],
    ["a sampling patch without effect", "4", ["ModelSamplingSD3", { model: ["3"], shift: 8 }], /ModelSamplingSD3 has no effect: PusaSampler after it sets its own shift 5/],
    ["a rolled still without Loop Model", "7", ["PusaLoopConditions", { latent: ["6"], kind: "rolled still" }], /no Loop Model/],
    ["a rolled loop decoded without Loop Model", "9", ["PusaLoopDecode", { samples: ["8"], kind: "rolled" }], /no Loop Model/],
    ["LightX2V with guidance", "3", ["PusaLightX2VLoader", { lora_name: "l.safetensors" }], /cfg 3/],
  ];
  for (const [name, id, node, sentence] of faults) {
    test(`${name} is named and nothing else`, () => {
      const found = checkGraph(graph({ ...right(), rebatched: ["RebatchLatents", { latents: ["7"] }], [id]: node }));
      assert.equal(found.length, 1, found.join("\n"));
      assert.match(found[0], sentence);
    });
  }

  for (const [fast, count] of /** @type {[boolean, number][]} */ ([[true, 1], [false, 0]])) {
    test(`LightX2V counts where Speed or Quality is ${fast ? "fast" : "full quality"} or not`, () => {
      const content = right();
      content.distilled = ["PusaLightX2VLoader", { model: ["5"], lora_name: "l.safetensors" }];
      content.speed = ["PusaSpeed", { fast_model: ["distilled"], full_model: ["5"], fast }];
      content[8] = ["PusaSampler", { model: ["speed"], latent: ["7"], cfg: 3, shift: 5 }];
      assert.equal(checkGraph(graph(content)).filter((one) => one.startsWith("LightX2V")).length, count);
    });
  }

  test("a rolled loop with Loop Model gets nothing", () => {
    const content = right();
    content[7] = ["PusaLoopConditions", { latent: ["6"], kind: "rolled still" }];
    content.roll = ["PusaLoopModel", { model: ["5"] }];
    content[8] = ["PusaSampler", { model: ["roll"], latent: ["7"], cfg: 3, shift: 5 }];
    content.decode = ["PusaLoopDecode", { samples: ["8"], kind: "rolled" }];
    assert.deepEqual(checkGraph(graph(content)), []);
  });

  test("given frames without a Pusa LoRA are named", () => {
    const content = right();
    content[2] = ["ModelNoise", { model: ["1"] }];
    content[4] = ["ModelNoise", { model: ["3"] }];
    assert.match(checkGraph(graph(content)).join(), /no Pusa LoRA Loader/);
  });

  for (const [name, node, unet] of /** @type {[string, string, string][]} */ ([
    ["a LoRA of ComfyUI's own loader", "LoraLoaderModelOnly", "wan.safetensors"],
    ["a LoRA of another pack's loader", "Power Lora Loader (rgthree)", "wan.safetensors"],
    ["a file of Merge LoRAs", "ModelNoise", "pusa_merged/wan+pusa.safetensors"],
    ["a file of Merge LoRAs in a folder on Windows", "ModelNoise", "mine\\pusa_merged\\wan.safetensors"],
  ])) {
    test(`${name} may be the Pusa LoRA, as to Python's doctor`, () => {
      const content = right();
      content[1] = ["UNETLoader", { unet_name: unet }];
      content[2] = [node, { model: ["1"] }];
      content[4] = ["ModelNoise", { model: ["3"] }];
      assert.deepEqual(checkGraph(graph(content)), []);
    });
  }

  test("Merge LoRAs itself is no Pusa LoRA", () => {
    const content = right();
    content[2] = ["PusaMergeLoras", { model: ["1"] }];
    content[4] = ["ModelNoise", { model: ["3"] }];
    assert.match(checkGraph(graph(content)).join(), /no Pusa LoRA Loader/);
  });

  for (const [name, node] of /** @type {[string, [string, Record<string, unknown>]][]} */ ([
    ["of a clip that is read", ["PusaConditionVideo", { latent: ["6"], fps: 30 }]],
    ["of a clip that is read whole", ["PusaTransition", { latent: ["6"], fps: 0 }]],
    ["of an animated picture", ["SaveAnimatedWEBP", { images: ["8"], fps: 6 }]],
    ["of a GIF", ["VHS_VideoCombine", { images: ["8"], frame_rate: 8, format: "image/gif" }]],
    ["that is not known", ["CreateVideo", { images: ["8"], fps: 0 }]],
  ])) {
    test(`no advice on the rate ${name}`, () => assert.deepEqual(checkGraph(graph({ ...right(), 9: node })), []));
  }

  test("a sampling patch with the same shift is left alone", () => {
    const content = right();
    content[10] = ["ModelSamplingSD3", { model: ["5"], shift: 5 }];
    content[8] = ["PusaSampler", { model: ["10"], latent: ["7"], cfg: 3, shift: 5 }];
    assert.deepEqual(checkGraph(graph(content)), []);
  });

  test("muted and bypassed nodes do not count", () => {
    const content = right();
    content[10] = ["CreateVideo", { images: ["8"], fps: 25 }, 2];
    content[11] = ["CreateVideo", { images: ["8"], fps: 30 }, 4];
    assert.deepEqual(checkGraph(graph(content)), []);
  });

  test("a linked setting is left alone", () => {
    const content = right();
    content[9] = ["CreateVideo", { images: ["8"], fps: ["6"] }];
    assert.deepEqual(checkGraph(graph(content)), []);
  });

  test("boxes are looked into, unless they are muted or bypassed", () => {
    const content = right();
    content[6] = ["EmptyHunyuanLatentVideo", { width: 832, height: 480, length: 80 }];
    for (const [mode, count] of [[0, 1], [2, 0], [4, 0]]) {
      const box = { id: 21, type: "a box", mode, subgraph: { nodes: graph(content), getLink: () => undefined, getNodeById: () => null } };
      assert.equal(checkGraph([box]).length, count, `mode ${mode}`);
    }
  });

  test("nodes in boxes have the ids that they run under", () => {
    const boxOf = (/** @type {number} */ id, /** @type {import("../../js/wires.js").Node[]} */ nodes) => ({ id, subgraph: { nodes, getLink: () => undefined, getNodeById: () => null } });
    const nodes = [...graph({ 3: ["PusaDoctor", {}] }), boxOf(21, [boxOf(7, graph({ 5: ["PusaDoctor", {}], 6: ["PusaDoctor", {}, 2] }))])];
    assert.deepEqual(runningNodes(nodes).map(({ id }) => id), ["3", "21:7:5"]);
  });
});
