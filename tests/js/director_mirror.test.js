import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { BASES } from "../../js/generated_facts.js";
import { planOf, promptOf } from "../../js/director_plan.js";
import { readProject, writeProject } from "../../js/director_project.js";
import { pythonValues } from "./python.js";

const FPS = 16;
const TOO_LARGE = String(2n ** 64n);
/** @type {[string, string, {error?: string, value?: any}][]} base, text, what the node would say */
const said = pythonValues("tests/js/project_values.py");
const readsLargeNumbers = typeof (/** @type {any} */ (JSON).rawJSON) === "function";

describe("the Director says what pusa_core says", () => {
  test("of projects that are right: where every window lies and what it shows", () => {
    let right = 0;
    for (const [id, text, { value }] of said) {
      if (!value) continue;
      const base = BASES.find((each) => each.id === id);
      const { project, problem } = readProject(text, base);
      assert.equal(problem, "", text);
      const plan = planOf(project);
      const windows = plan.windows.map(({ id: name, start, given, end }) => [name, start, given, end]);
      const prompts = windows.map((_, i) => promptOf(project, plan, i, FPS));
      assert.deepEqual({ total: plan.total, windows, prompts }, value, text);
      assert.deepEqual(readProject(writeProject(project), base).project, project);
      right += 1;
    }
    assert.ok(right > 300, `${right} projects were right`);
  });

  test("of projects that are wrong: its sentence, to the letter", () => {
    const sentences = new Set();
    for (const [id, text, { error }] of said) {
      if (!error || (!readsLargeNumbers && text.includes(TOO_LARGE))) continue;
      const { problem } = readProject(text, BASES.find((each) => each.id === id));
      assert.equal(problem, error, text);
      sentences.add(error.replace(/\d+/g, "N").replace(/ is .*; use/, " is ...; use"));
    }
    assert.ok(sentences.size > 60, `${sentences.size} sentences`);
  });
});
