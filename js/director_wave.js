// The waveform of a sound file: decoded in the browser, drawn as the outline of its loudest moments.

/** Outline points per second of sound. */
const PER_SECOND = 40;
const RATE = 22_050;

/**
 * @param {string} url
 * @returns {Promise<{path: string, seconds: number} | null>} an SVG path over seconds, -1 to 1 high; null where it cannot be decoded
 */
export async function waveOf(url) {
  try {
    const answer = await fetch(url);
    if (!answer.ok) return null;
    const sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await answer.arrayBuffer());
    const samples = sound.getChannelData(0);
    return { path: outline(peaks(samples, Math.max(1, Math.round(sound.sampleRate / PER_SECOND)))), seconds: sound.duration };
  } catch {
    return null; // the track then shows its name alone
  }
}

/**
 * The largest value of each stretch of samples.
 * @param {ArrayLike<number>} samples -1 to 1
 * @param {number} stretch samples
 * @returns {number[]}
 */
export function peaks(samples, stretch) {
  const found = [];
  for (let start = 0; start < samples.length; start += stretch) {
    let peak = 0;
    for (let i = start; i < Math.min(start + stretch, samples.length); i += 1) peak = Math.max(peak, Math.abs(samples[i]));
    found.push(peak);
  }
  return found;
}

/**
 * A closed outline, mirrored at its middle line; one unit is a second.
 * @param {number[]} values
 */
export function outline(values) {
  if (values.length === 0) return "";
  const point = (/** @type {number} */ value, /** @type {number} */ i, /** @type {number} */ sign) => `${(i / PER_SECOND).toFixed(3)} ${(sign * Math.max(value, 0.01)).toFixed(3)}`;
  const upper = values.map((value, i) => point(value, i, -1));
  const lower = values.map((value, i) => point(value, i, 1)).reverse();
  return `M${[...upper, ...lower].join("L")}Z`;
}
