// The form below the tracks: what is selected, field by field.
import { button, seconds } from "./controls.js";
import { isLocked, windowOf } from "./director_edits.js";
import { isSame, madeOf, promptShown } from "./director_scene.js";
import { fit, make, say } from "./dom.js";
import { CLIP_DEFAULTS, EXPERT_CHOICES, PROJECT_COLOURS, PROJECT_DEFAULTS, PROJECT_RESIZES, PROMPT_STEPS } from "./generated_facts.js";
import { numberOf } from "./latent_frames.js";
import { windowLength, windowOverlap } from "./director_plan.js";
import { word } from "./words.js";

/** @typedef {import("./director_scene.js").Scene} Scene */
/** @typedef {import("./director_scene.js").Selection} Selection */
/**
 * @typedef {object} PanelActions
 * @property {(selection: Selection, settings: Record<string, unknown>) => void} set undefined takes a setting away
 * @property {(id: string, index: number, settings: object | null) => void} lora null takes it away
 * @property {() => void} done a field is finished
 * @property {(selection: Selection) => void} pick asks for a file
 * @property {(id: string, candidates: number) => void} retake
 *
 * @typedef {object} Field One line of the form.
 * @property {HTMLElement} element
 * @property {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} input
 * @property {(scene: Scene) => unknown} read
 * @property {(scene: Scene) => string} [placeholder]
 */

/** The form. */
export class DirectorPanel {
  /** @param {PanelActions} actions */
  constructor(actions) {
    this.actions = actions;
    /** @type {Selection | null} */
    this.shown = null;
    /** @type {Scene | null} */
    this.scene = null;
    /** @type {Field[]} */
    this.fields = [];
    this.title = make("div", { class: "pusa-panel-title", title: word("A jump of 1 is an ordinary step from frame to frame; above 1.5 it shows.") });
    this.form = make("div", { class: "pusa-panel-form" });
    this.element = make("div", { class: "pusa-director-panel", role: "group", "aria-label": word("Settings of what is selected") }, this.title, this.form);
  }

  /** @param {Scene} scene */
  show(scene) {
    this.scene = scene;
    const { selection } = scene;
    if (!this.shown || !isSame(this.shown, selection)) {
      this.shown = selection;
      this.fields = [];
      this.form.replaceChildren();
      this.build(selection);
    }
    say(this.title, titleOf(scene));
    const locked = isLocked(scene.project, selection);
    for (const { input, read, placeholder } of this.fields) {
      const value = read(scene);
      const text = value === undefined || value === null ? "" : String(value);
      // what a person is typing is theirs until it means something else
      if (input instanceof HTMLSelectElement) fillChoice(input, text);
      else if (input !== document.activeElement || numberOf(input.value) !== numberOf(text) || numberOf(text) === null) {
        if (input.value !== text) input.value = text;
      }
      if (placeholder && !(input instanceof HTMLSelectElement)) input.placeholder = placeholder(scene);
      input.disabled = !scene.editable || locked;
    }
    this.showLoras(scene, locked);
  }

  /** Gives the keyboard to the first field. */
  focus() {
    this.fields[0]?.input.focus({ preventScroll: true });
  }

  /** @param {Selection} selection */
  build(selection) {
    const { kind } = selection;
    if (kind === "window" || kind === "lora") this.buildWindow(selection.id ?? "");
    else if (kind === "video") this.buildVideo();
    else if (kind === "sound") this.row(this.file("file", word("File")), this.number("from", word("from second")));
    else if (kind === "keys") this.row(this.file("picture", word("Picture")), this.number("at", word("at frame"), { whole: true, required: true }), this.number("multiplier", word("noise multiplier"), { usual: () => "0" }));
    else if (kind === "prompts") {
      this.row(this.text("text", word("Prompt"), { large: true }));
      this.row(this.number("at", word("from second"), { required: true }));
    } else {
      this.row(this.file("file", word("File")));
      this.row(
        this.number("at", word("at frame"), { whole: true, required: true }),
        this.number("from", word("from second")),
        this.number("frames", word("frames"), { whole: true, usual: () => String(CLIP_DEFAULTS.frames) }),
        this.number("multiplier", word("noise multiplier"), { usual: () => String(CLIP_DEFAULTS.multiplier) }),
      );
    }
  }

  /** @param {string} id */
  buildWindow(id) {
    this.row(
      this.text("prompt", word("Prompt"), { large: true, usual: (scene) => inherited(scene, id) }),
      this.text("negative", word("Negative"), { large: true, usual: ({ project }) => project.negative || word("as the whole video") }),
    );
    this.row(
      this.number("length", word("length"), { whole: true, usual: ({ project }) => String(windowLength(project)) }),
      this.number("overlap", word("overlap"), { whole: true, usual: ({ project }) => String(windowOverlap(project)) }),
      this.number("seed", word("seed"), { whole: true, usual: ({ plan, defaults }) => (defaults.seed === undefined ? "" : String(Number(defaults.seed) + plan.windows.findIndex((each) => each.id === id))) }),
      this.number("steps", word("steps"), { whole: true, usual: ({ defaults }) => String(defaults.steps ?? "") }),
      this.number("cfg", word("cfg"), { usual: ({ defaults }) => String(defaults.cfg ?? "") }),
      this.text("noise_multipliers", word("noise of the overlap"), { usual: ({ project }) => project.noise_multipliers ?? PROJECT_DEFAULTS.noise_multipliers }),
    );
    this.form.append(make("div", { class: "pusa-panel-loras" }));
    const add = button(word("+ LoRA"), word("Add a LoRA to the selected window"), () => {
      const { project, loras } = /** @type {Scene} */ (this.scene);
      this.actions.lora(id, windowOf(project, id)?.loras?.length ?? 0, { name: loras[0] ?? "", strength: 1 });
      this.actions.done();
    });
    add.classList.add("pusa-add-lora");
    this.form.append(add);
  }

  buildVideo() {
    this.row(this.text("negative", word("Negative"), { large: true }));
    this.row(
      this.number("window", word("window length"), { whole: true, usual: () => String(PROJECT_DEFAULTS.window) }),
      this.number("overlap", word("overlap"), { whole: true, usual: () => String(PROJECT_DEFAULTS.overlap) }),
      this.text("noise_multipliers", word("noise of the overlap"), { usual: () => PROJECT_DEFAULTS.noise_multipliers }),
      this.choice("colour", word("colours as"), PROJECT_COLOURS, PROJECT_DEFAULTS.colour),
      this.choice("resize", word("resize"), PROJECT_RESIZES, PROJECT_DEFAULTS.resize),
      this.choice("prompts_by", word("prompts change by"), PROMPT_STEPS, PROJECT_DEFAULTS.prompts_by),
    );
    const picture = this.text("picture", word("Anchor picture, seen by every window"), { of: "anchor" });
    const multiplier = this.number("multiplier", word("noise multiplier"), { of: "anchor", usual: () => "0" });
    const browse = button(word("Choose…"), word("Choose a file"), () => this.actions.pick({ kind: "video" }));
    this.form.append(make("div", { class: "pusa-panel-row" }, picture, browse, multiplier));
  }

  /**
   * The LoRAs of the selected window.
   * @param {Scene} scene
   * @param {boolean} locked
   */
  showLoras({ selection, project, loras: names, editable }, locked) {
    const list = this.form.querySelector(".pusa-panel-loras");
    if (!(list instanceof HTMLElement)) return;
    const id = selection.id ?? "";
    const loras = windowOf(project, id)?.loras ?? [];
    fit(list, loras.length, (index) => this.makeLora(index)).forEach((row, index) => {
      const [name, strength, expert, remove] = /** @type {[HTMLSelectElement, HTMLInputElement, HTMLSelectElement, HTMLButtonElement]} */ ([...row.children]);
      const options = names.includes(loras[index].name) ? names : [loras[index].name, ...names];
      fit(name, options.length, () => make("option")).forEach((option, i) => {
        if (option.value !== options[i]) option.value = options[i];
        say(option, options[i]);
      });
      if (name.value !== loras[index].name) name.value = loras[index].name;
      const value = String(loras[index].strength ?? 1);
      if (strength !== document.activeElement || Number(strength.value) !== Number(value)) strength.value = value;
      expert.value = loras[index].expert ?? EXPERT_CHOICES[0];
      for (const input of [name, strength, expert, remove]) input.disabled = !editable || locked;
    });
    const add = this.form.querySelector(".pusa-add-lora");
    if (add instanceof HTMLButtonElement) add.disabled = !editable || locked;
  }

  /** @param {number} index */
  makeLora(index) {
    const id = () => this.shown?.id ?? "";
    const set = (/** @type {object} */ settings) => this.actions.lora(id(), index, settings);
    const name = make("select", { "aria-label": word("LoRA") });
    const strength = make("input", { type: "number", step: 0.05, "aria-label": word("strength") });
    const expert = make("select", { "aria-label": word("expert") }, ...EXPERT_CHOICES.map((choice) => make("option", { value: choice }, choice)));
    name.addEventListener("change", () => set({ name: name.value }));
    strength.addEventListener("input", () => {
      const value = numberOf(strength.value);
      if (value !== null) set({ strength: value });
    });
    expert.addEventListener("change", () => set({ expert: expert.value === EXPERT_CHOICES[0] ? undefined : expert.value }));
    for (const input of [name, strength, expert]) input.addEventListener("change", () => this.actions.done());
    const remove = button("×", word("Remove this LoRA"), () => {
      this.actions.lora(id(), index, null);
      this.actions.done();
    });
    return make("div", { class: "pusa-panel-lora" }, name, strength, expert, remove);
  }

  /** @param {...HTMLElement} children */
  row(...children) {
    this.form.append(make("div", { class: "pusa-panel-row" }, ...children));
  }

  /**
   * @param {string} name
   * @param {string} label
   * @param {{large?: boolean, of?: "anchor", usual?: (scene: Scene) => string}} [options]
   */
  text(name, label, { large = false, of, usual } = {}) {
    const input = large ? make("textarea", { rows: 2, spellcheck: "false" }) : make("input", { type: "text", spellcheck: "false" });
    return this.field(name, label, input, { of, usual, value: () => (input.value === "" ? undefined : input.value), wide: large });
  }

  /**
   * @param {string} name
   * @param {string} label
   * @param {{whole?: boolean, required?: boolean, of?: "anchor", usual?: (scene: Scene) => string}} [options]
   */
  number(name, label, { whole = false, required = false, of, usual } = {}) {
    const input = make("input", { type: "text", inputmode: whole ? "numeric" : "decimal", autocomplete: "off" });
    const value = () => {
      const typed = input.value.trim();
      if (typed === "") return required ? null : undefined;
      const found = numberOf(typed);
      if (found === null || !Number.isFinite(found)) return null;
      if (!whole) return found;
      return Number.isSafeInteger(found) || !/^\d+$/.test(typed) ? Math.round(found) : BigInt(typed);
    };
    return this.field(name, label, input, { of, usual, value });
  }

  /**
   * @param {string} name
   * @param {string} label
   * @param {string[]} choices
   * @param {string} usual
   */
  choice(name, label, choices, usual) {
    const input = make("select", {}, ...choices.map((each) => make("option", { value: each }, each)));
    input.dataset.usual = usual;
    return this.field(name, label, input, { value: () => (input.value === usual ? undefined : input.value) });
  }

  /**
   * @param {string} name
   * @param {string} label
   */
  file(name, label) {
    const field = this.text(name, label);
    field.classList.add("pusa-wide");
    const selection = () => /** @type {Selection} */ (this.shown);
    field.append(button(word("Choose…"), word("Choose a file"), () => this.actions.pick(selection())));
    return field;
  }

  /**
   * @param {string} name
   * @param {string} label
   * @param {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} input
   * @param {{value: () => unknown, of?: "anchor", usual?: (scene: Scene) => string, wide?: boolean}} options
   */
  field(name, label, input, { value, of, usual, wide = false }) {
    const element = make("label", { class: `pusa-field pusa-field-${name}${wide ? " pusa-wide" : ""}` }, make("span", {}, label), input);
    input.setAttribute("aria-label", label);
    const write = () => {
      const { selection } = /** @type {Scene} */ (this.scene);
      const typed = value();
      if (typed === null) return; // not finished yet
      if (!of) this.actions.set(selection, { [name]: typed });
      else this.actions.set(selection, { [of]: anchored(/** @type {Scene} */ (this.scene), name, typed) });
    };
    // Numbers of frames count once they are typed in full: 8 is on the way to 81.
    const late = ["length", "overlap", "window", "at", "from", "frames"].includes(name);
    if (!late) input.addEventListener("input", write);
    input.addEventListener("change", () => {
      write();
      this.actions.done();
      if (this.scene) this.show(this.scene);
    });
    // Enter in a field must not reach the canvas, and Ctrl+Enter must find what was typed.
    input.addEventListener("keydown", (/** @type {Event} */ event) => {
      const { key, ctrlKey, metaKey } = /** @type {KeyboardEvent} */ (event);
      if (key === "Enter" && (ctrlKey || metaKey)) write();
      else if (key === "Enter" && !(input instanceof HTMLTextAreaElement)) input.blur();
      if (!ctrlKey && !metaKey) event.stopPropagation();
    });
    this.fields.push({ element, input, read: (scene) => settingsOf(scene, of)[name], placeholder: usual });
    return element;
  }
}

/**
 * The anchor after one of its fields changed; without a picture there is none.
 * @param {Scene} scene
 * @param {string} name
 * @param {unknown} typed
 */
function anchored({ project }, name, typed) {
  const anchor = Object.fromEntries(Object.entries({ ...project.anchor, [name]: typed }).filter(([, value]) => value !== undefined));
  return anchor.picture ? anchor : undefined;
}

/**
 * @param {Scene} scene
 * @param {"anchor"} [of]
 * @returns {Record<string, any>}
 */
function settingsOf({ project, selection }, of) {
  if (of) return project[of] ?? {};
  const { kind, id = "", index = 0 } = selection;
  if (kind === "video") return project;
  if (kind === "window" || kind === "lora") return windowOf(project, id) ?? {};
  if (kind === "sound") return project.sound ?? {};
  return project[kind]?.[index] ?? {};
}

/**
 * A choice that is shown even where the text holds none, or one that is unknown.
 * @param {HTMLSelectElement} select
 * @param {string} text
 */
function fillChoice(select, text) {
  const value = text === "" ? (select.dataset.usual ?? "") : text;
  if (![...select.options].some((option) => option.value === value)) select.append(make("option", { value }, value));
  if (select.value !== value) select.value = value;
}

/**
 * What a window says that has no prompt of its own.
 * @param {Scene} scene
 * @param {string} id
 */
function inherited(scene, id) {
  const index = scene.plan.windows.findIndex((each) => each.id === id);
  if (typeof scene.project.windows[index]?.prompt === "string") return "";
  const text = index < 0 ? "" : promptShown(scene, index);
  return text ? word("as before: {text}", { text }) : word("What this window shows and how it moves");
}

/**
 * How well a finished window meets its neighbours.
 * @param {Scene} scene
 * @param {string} id
 */
function seamsOf(scene, id) {
  const { seams, chosen, state } = madeOf(scene, id);
  const [before, after] = state === "running" ? [] : (seams[chosen] ?? []);
  const parts = [];
  if (typeof before === "number") parts.push(word("jump at its start {value}", { value: before.toFixed(2) }));
  if (typeof after === "number") parts.push(word("jump at its end {value}", { value: after.toFixed(2) }));
  return parts.length > 0 ? ` (${parts.join(", ")})` : "";
}

/** @param {Scene} scene */
function titleOf(scene) {
  const { selection, project, plan, fps } = scene;
  const { kind, id, index = 0 } = selection;
  if (kind === "window" || kind === "lora") {
    const place = plan.windows.find((each) => each.id === id);
    if (!place) return "";
    const { firstNew, end, given } = place;
    const values = { id: place.id, first: firstNew, last: end - 1, from: seconds(firstNew, fps), to: seconds(end, fps), given };
    const said = word(given ? "Window {id}: frames {first} to {last}, {from} to {to}, after {given} taken over" : "Window {id}: frames {first} to {last}, {from} to {to}", values);
    return said + seamsOf(scene, place.id);
  }
  if (kind === "keys") return word("Picture {number}, {time}", { number: index + 1, time: seconds(project.keys?.[index]?.at ?? 0, fps) });
  if (kind === "clips") return word("Clip {number}, {time}", { number: index + 1, time: seconds(project.clips?.[index]?.at ?? 0, fps) });
  if (kind === "prompts") return word("Prompt {number}", { number: index + 1 });
  if (kind === "sound") return word("Sound");
  return word("Whole video");
}

