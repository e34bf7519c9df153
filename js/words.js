// The words of the views in the languages of the pack's help; what is missing is said in English.
import { DIRECTOR_WORDS } from "./director_words.js";

/** @typedef {"en" | "zh" | "ja"} Language */

/** @type {Record<string, Partial<Record<Language, string>>>} the English text is the key */
const WORDS = {
  ...DIRECTOR_WORDS,
  "Contact sheet of the sweep": { zh: "扫描的对比图", ja: "スイープの一覧画像" },
  "Tiles of the sweep": { zh: "扫描的各格", ja: "スイープの各コマ" },
  "Take over {settings}": { zh: "采用 {settings}", ja: "{settings} を採用" },
  "No Condition Frame Injector, Vectorized Timestep Sampler or Pusa LoRA Loader in this graph takes {settings}.": { zh: "此图中没有条件帧注入、向量化时间步采样器或 Pusa LoRA 加载器可采用 {settings}。", ja: "このグラフには {settings} を採用する条件フレーム注入、ベクトル化タイムステップサンプラー、Pusa LoRA ローダーがありません。" },
  "Noise timeline": { zh: "噪声时间线", ja: "ノイズタイムライン" },
  "Preset": { zh: "预设", ja: "プリセット" },
  "Settings the Pusa authors published": { zh: "Pusa 作者公布的设置", ja: "Pusa の作者が公開した設定" },
  "Custom": { zh: "自定义", ja: "カスタム" },
  "Image to video": { zh: "图生视频", ja: "画像から動画" },
  "Start and end frame": { zh: "首尾帧", ja: "最初と最後のフレーム" },
  "Extension": { zh: "视频延长", ja: "動画の延長" },
  "Extension, more motion": { zh: "视频延长(动作更大)", ja: "動画の延長(動き大)" },
  "Completion": { zh: "视频补全", ja: "動画の補完" },
  "+ Add": { zh: "+ 添加", ja: "+ 追加" },
  "Add a condition (or double-click on the timeline)": { zh: "添加一个条件(或双击时间线)", ja: "条件を追加(タイムラインのダブルクリックでも可)" },
  "Remove": { zh: "删除", ja: "削除" },
  "Remove the selected condition (Delete)": { zh: "删除所选条件(Delete 键)", ja: "選択中の条件を削除(Delete キー)" },
  "Ramp": { zh: "渐变", ja: "傾斜" },
  "Multipliers on a straight line from the first condition to the last": { zh: "从第一个条件到最后一个条件,倍率按直线变化", ja: "最初の条件から最後の条件まで、倍率を直線上に並べる" },
  "1 free": { zh: "1 自由", ja: "1 自由" },
  "0 kept": { zh: "0 保持", ja: "0 維持" },
  "latent": { zh: "潜空间帧", ja: "潜在" },
  "high": { zh: "高噪", ja: "高" },
  "low": { zh: "低噪", ja: "低" },
  " (high-noise expert)": { zh: "(高噪声专家)", ja: "(高ノイズ専門家)" },
  " (low-noise expert)": { zh: "(低噪声专家)", ja: "(低ノイズ専門家)" },
  "{count} steps": { zh: "{count} 步", ja: "{count} ステップ" },
  "{frames} frames, {time}": { zh: "{frames} 帧,{time}", ja: "{frames} フレーム、{time}" },
  "if {frames} frames, {time}": { zh: "假设 {frames} 帧,{time}", ja: "{frames} フレームとして、{time}" },
  "{count} latent frames at {fps} frames per second": { zh: "{count} 个潜空间帧,每秒 {fps} 帧", ja: "潜在フレーム {count} 個、毎秒 {fps} フレーム" },
  "The latent's length is not known before the graph runs; Wan's usual 81 frames are shown": { zh: "运行前无法得知长度,按 Wan 常用的 81 帧显示", ja: "実行するまで長さが分からないため、Wan で標準の 81 フレームで表示しています" },
  "Condition {number} of {count}": { zh: "条件 {number} / {count}", ja: "条件 {number} / {count}" },
  "latent frame {frame}, video frame {first}, {time}, noise multiplier {multiplier}": { zh: "潜空间帧 {frame},视频帧 {first},{time},噪声倍率 {multiplier}", ja: "潜在フレーム {frame}、動画フレーム {first}、{time}、ノイズ倍率 {multiplier}" },
  ", will be refused": { zh: ",将被拒绝", ja: "、拒否されます" },
  "{title}: latent frame {frame}, noise multiplier {multiplier}": { zh: "{title}:潜空间帧 {frame},噪声倍率 {multiplier}", ja: "{title}: 潜在フレーム {frame}、ノイズ倍率 {multiplier}" },
  "Latent frame {frame}: video frame {first}, {from} to {to}; {what}": { zh: "潜空间帧 {frame}:视频帧 {first},{from} 至 {to};{what}", ja: "潜在フレーム {frame}: 動画フレーム {first}、{from} から {to}。{what}" },
  "Latent frame {frame}: video frames {first} to {last}, {from} to {to}; {what}": { zh: "潜空间帧 {frame}:视频帧 {first} 至 {last},{from} 至 {to};{what}", ja: "潜在フレーム {frame}: 動画フレーム {first} から {last}、{from} から {to}。{what}" },
  "noise multiplier {multiplier}": { zh: "噪声倍率 {multiplier}", ja: "ノイズ倍率 {multiplier}" },
  "step {step}{expert}, timestep {timestep}": { zh: "第 {step} 步{expert},时间步 {timestep}", ja: "ステップ {step}{expert}、タイムステップ {timestep}" },
  "1 step. {experts}": { zh: "1 步。{experts}", ja: "1 ステップ。{experts}" },
  "{count} steps. {experts}": { zh: "{count} 步。{experts}", ja: "{count} ステップ。{experts}" },
  "One model sees them all.": { zh: "全部由同一个模型处理。", ja: "すべて 1 つのモデルが処理します。" },
  "The low-noise expert sees them all.": { zh: "全部由低噪声专家处理。", ja: "すべて低ノイズ専門家が処理します。" },
  "The high-noise expert sees them all.": { zh: "全部由高噪声专家处理。", ja: "すべて高ノイズ専門家が処理します。" },
  "The high-noise expert sees step 1, the low-noise expert the rest.": { zh: "高噪声专家处理第 1 步,其余由低噪声专家处理。", ja: "ステップ 1 は高ノイズ専門家、残りは低ノイズ専門家が処理します。" },
  "The high-noise expert sees steps 1 to {last}, the low-noise expert the rest.": { zh: "高噪声专家处理第 1 至 {last} 步,其余由低噪声专家处理。", ja: "ステップ 1 から {last} は高ノイズ専門家、残りは低ノイズ専門家が処理します。" },
  "{name} comes from another node.": { zh: "{name} 来自另一个节点。", ja: "{name} は別のノードから来ています。" },
  "Pictures: {pictures}, positions: {positions}. The node needs one each.": { zh: "图片 {pictures} 张,位置 {positions} 个:两者数量须一致。", ja: "画像 {pictures} 枚、位置 {positions} 個。同じ数が必要です。" },
  "Timesteps of {count} steps for {frames} latent frames. {experts}": { zh: "{count} 步、{frames} 个潜空间帧的时间步。{experts}", ja: "{count} ステップ、潜在フレーム {frames} 個のタイムステップ。{experts}" },
};

/** @type {Language} */
let language = "en";

/**
 * Chooses the language for everything said from now on.
 * @param {string} locale ComfyUI's, such as "en", "zh" or "ja"
 */
export function speak(locale) {
  language = locale === "zh" || locale === "ja" ? locale : "en";
}

/**
 * A text in the chosen language, its {places} filled in.
 * @param {string} english
 * @param {Record<string, string | number>} [values]
 */
export function word(english, values = {}) {
  const text = WORDS[english]?.[language] ?? english;
  return text.replace(/\{(\w+)\}/g, (place, name) => String(values[name] ?? place));
}

/** Every text that has translations, for the test that none is missing. */
export const translated = WORDS;
