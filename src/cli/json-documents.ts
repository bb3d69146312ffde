/** One JSON text of a longer one, and the line where it begins, from 1. */
export interface JsonDocument {
  text: string;
  line: number;
}

/**
 * Takes a text apart into the JSON objects and lists that stand in it one after the other: JSON lines, or documents of
 * several lines each. What is between them other than white space comes as a document of its own, so that whoever reads
 * it says what is wrong. Keeps no more than the document it is in.
 */
export async function* jsonDocuments(chunks: AsyncIterable<string>): AsyncGenerator<JsonDocument> {
  let [kept, line, begin, depth] = ["", 1, 1, 0];
  let inString = false;
  let escaped = false;
  for await (const chunk of chunks) {
    let start = 0;
    for (let i = 0; i < chunk.length; i += 1) {
      const character = chunk[i] ?? "";
      if (character === "\n") line += 1;
      if (inString) {
        if (escaped) escaped = false;
        else if (character === "\\") escaped = true;
        else if (character === '"') inString = false;
        continue;
      }
      if (depth === 0) {
        if (character === "{" || character === "[") begin = line;
        else if (character === "\n") {
          // The end of a line that has no object or list: what it has is told as it is.
          const text = (kept + chunk.slice(start, i)).trim();
          if (text !== "") yield { text, line: line - 1 };
          [kept, start] = ["", i + 1];
          continue;
        }
      }
      if (character === '"') inString = true;
      else if (character === "{" || character === "[") depth += 1;
      else if ((character === "}" || character === "]") && depth > 0) {
        depth -= 1;
        if (depth > 0) continue;
        yield { text: (kept + chunk.slice(start, i + 1)).trim(), line: begin };
        [kept, start] = ["", i + 1];
      }
    }
    kept += chunk.slice(start);
  }
  if (kept.trim() !== "") yield { text: kept.trim(), line: depth > 0 ? begin : line };
}
