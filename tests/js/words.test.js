import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { afterEach, test } from "node:test";
import { PRESETS } from "../../js/timeline_model.js";
import { speak, translated, word } from "../../js/words.js";

afterEach(() => speak("en"));

const FOLDER = new URL("../../js/", import.meta.url);
const names = readdirSync(FOLDER).filter((name) => /^(timeline_view|injector|director.*)\.js$/.test(name));
const view = names.map((name) => readFileSync(new URL(name, FOLDER), "utf8")).join("");

test("every text of the views has a translation in each language, with the same places to fill in", () => {
  const used = [...view.matchAll(/word\((?:[^"()]*\? )?"([^"]+)"(?: : "([^"]+)")?/g)].flatMap(([, one, other]) => (other ? [one, other] : [one]));
  assert.ok(used.length > 120);
  for (const english of [...used, ...Object.keys(PRESETS), "high", "low"]) assert.ok(english in translated, `no translation of "${english}"`);
  for (const [english, texts] of Object.entries(translated)) {
    for (const language of /** @type {const} */ (["zh", "ja"])) {
      const text = texts[language] ?? "";
      assert.deepEqual(text.match(/\{\w+\}/g)?.sort() ?? [], english.match(/\{\w+\}/g)?.sort() ?? [], `${language}: ${english}`);
      assert.ok(text.length > 0);
    }
  }
});

test("a language without translations is English", () => {
  speak("fr");
  assert.equal(word("{count} steps", { count: 4 }), "4 steps");
  speak("ja");
  assert.equal(word("{count} steps", { count: 4 }), "4 ステップ");
});
