import { displayWidth } from "./display-width.ts";

export type Style = "plain" | "bold" | "dim" | "good" | "warning" | "bad" | "accent";

/** Text of one style. */
export type Span = string | { text: string; style: Style };
export type Line = readonly Span[];

const codes: Record<Style, string> = {
  plain: "",
  bold: "1",
  dim: "2",
  good: "32",
  warning: "33",
  bad: "1;31",
  accent: "36",
};

export function styled(text: string, style: Style): Span {
  return { text, style };
}

/** The line as a terminal shows it, cut off at the width; without colours as plain text. */
export function renderLine(line: Line, { width, color }: { width: number; color: boolean }): string {
  let [out, left] = ["", width];
  for (const span of line) {
    const { text, style } = typeof span === "string" ? { text: span, style: "plain" as const } : span;
    const shown = cut(text, left);
    left -= displayWidth(shown);
    out += color && codes[style] !== "" && shown !== "" ? `\u001b[${codes[style]}m${shown}\u001b[0m` : shown;
    if (left <= 0) break;
  }
  return out;
}

export function lineWidth(line: Line): number {
  return line.reduce((width, span) => width + displayWidth(typeof span === "string" ? span : span.text), 0);
}

/** What has no room ends with an ellipsis. */
function cut(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let shown = "";
  for (const character of text) {
    if (displayWidth(shown + character) > width - 1) break;
    shown += character;
  }
  return width > 0 ? `${shown}…` : "";
}
