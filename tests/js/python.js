// What Python says, for tests that compare with it.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../../", import.meta.url);
const virtual = ["../../.venv/bin/python", "../../.venv/Scripts/python.exe"].map((path) => fileURLToPath(new URL(path, import.meta.url)));

/** The interpreter that has the pack's requirements. */
export const python = process.env.PUSA_PYTHON ?? virtual.find((path) => existsSync(path)) ?? "python3";

/**
 * @param {string} script path from the checkout's root
 * @returns {any} the JSON it prints
 */
export function pythonValues(script) {
  const environment = { ...process.env, OMP_NUM_THREADS: "1" };
  return JSON.parse(execFileSync(python, [script], { cwd: fileURLToPath(root), env: environment, encoding: "utf8", maxBuffer: 1 << 28 }));
}
