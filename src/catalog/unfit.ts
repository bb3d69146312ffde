/** A value does not fit its type; encodeValue adds which type and which field. */
export class Unfit extends Error {
  override readonly name = "Unfit";
}

/** The start of a client's text, quoted for a message. */
export function excerpt(text: string): string {
  return JSON.stringify(text.length <= 60 ? text : `${text.slice(0, 60).toWellFormed()}...`);
}
