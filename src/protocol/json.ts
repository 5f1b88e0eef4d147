/** Limits on the structure of a JSON document, besides its size. */
export interface JsonLimits {
  /** Levels of nested arrays and objects. */
  readonly maxDepth: number;
  /** Values in the whole document. */
  readonly maxValues: number;
  /** Members of one object. JSON.parse takes half a second for an object with a hundred thousand distinct names. */
  readonly maxMembers: number;
}

/** Limits for manifests and documents in archives. 4 MiB of descriptors have half as many values. */
export const manifestLimits: JsonLimits = { maxDepth: 64, maxValues: 300_000, maxMembers: 10_000 };

/** Limits for small documents: settings, key sets, responses to a login. */
export const smallLimits: JsonLimits = { maxDepth: 64, maxValues: 10_000, maxMembers: 10_000 };

/** Thrown when a document exceeds its `JsonLimits`. */
export class JsonLimitError extends Error {
  override readonly name = 'JsonLimitError';
}

const [quote, backslash, comma, openBracket, closeBracket, openBrace, closeBrace] = Buffer.from('"\\,[]{}');

/**
 * Parses JSON in UTF-8. Checks the limits first, in one pass over the bytes.
 * @throws JsonLimitError; SyntaxError or TypeError for bytes that are not JSON in UTF-8.
 */
export function parseJson(bytes: Uint8Array, limits: JsonLimits): unknown {
  checkLimits(bytes, limits);
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
}

/** Counts all values in all arrays and objects, as `JsonLimits.maxValues` does. */
export function countValues(bytes: Uint8Array): number {
  let values = 1;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === quote) at = endOfString(bytes, at);
    else if (byte === comma || byte === openBracket || byte === openBrace) values++;
  }
  return values;
}

function checkLimits(bytes: Uint8Array, { maxDepth, maxValues, maxMembers }: JsonLimits): void {
  // For each open array or object; Infinity for an array.
  const membersLeft: number[] = [];
  let values = 1;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === quote) {
      at = endOfString(bytes, at);
    } else if (byte === comma) {
      values++;
      const left = (membersLeft.pop() ?? Infinity) - 1;
      if (left < 1) throw new JsonLimitError(`an object has more than ${maxMembers} members`);
      membersLeft.push(left);
    } else if (byte === openBracket || byte === openBrace) {
      values++;
      membersLeft.push(byte === openBrace ? maxMembers : Infinity);
      if (membersLeft.length > maxDepth) throw new JsonLimitError(`it is nested deeper than ${maxDepth} levels`);
    } else if (byte === closeBracket || byte === closeBrace) {
      membersLeft.pop();
    }
    if (values > maxValues) throw new JsonLimitError(`it has more than ${maxValues} values`);
  }
}

/** Returns the position of the closing quote of a string that begins at `from`. */
function endOfString(bytes: Uint8Array, from: number): number {
  for (let at = from + 1; at < bytes.length; at++) {
    if (bytes[at] === backslash) at++;
    else if (bytes[at] === quote) return at;
  }
  return bytes.length;
}
