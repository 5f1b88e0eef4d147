import { createRequire } from 'node:module';
import type * as Yaml from 'yaml';
import type { Document, LineCounter, Range } from 'yaml';

// Loaded on demand, like the parser of the config file.
const require = createRequire(import.meta.url);
const loadYaml = (): typeof Yaml => require('yaml') as typeof Yaml;

/** A place in a text, counted from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** The path of a syntax error, as `parseConfigFile` reports it. */
const syntaxErrorPattern = /^line ([0-9]+), column ([0-9]+)$/;

/**
 * Returns a function that finds the option at a path, such as `repositories[0].url`, in the text of a config file: the key of
 * an option, the item of a list. For an option that is missing, it finds the closest one around it; for a path that does not
 * come from the file, such as a flag, nothing.
 */
export function createLocator(text: string): (path: string) => Position | undefined {
  const { parseDocument, LineCounter } = loadYaml();
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  return (path) => {
    const [, line, column] = syntaxErrorPattern.exec(path) ?? [];
    if (line !== undefined) return { line: Number(line), column: Number(column) };
    const offset = findOffset(document, document.contents, path);
    return offset === undefined ? undefined : toPosition(lines, offset);
  };
}

function toPosition(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  return { line, column: col };
}

/** Returns the offset of the part of a node that a path leads to, or of the last part that exists. */
function findOffset(document: Document, node: unknown, path: string): number | undefined {
  if (path === '') return undefined;
  const { isAlias, isMap, isSeq } = loadYaml();
  const inner = isAlias(node) ? node.resolve(document) : node;
  if (isSeq(inner)) {
    const [whole, index] = /^\[([0-9]+)\]\.?/.exec(path) ?? [];
    const item = index === undefined ? undefined : inner.items[Number(index)];
    if (whole === undefined || item === undefined) return undefined;
    return findOffset(document, item, path.slice(whole.length)) ?? startOf(item);
  }
  if (!isMap(inner)) return undefined;
  // A key may contain dots: `hosts.hub.example.com`. The longest one that matches is meant.
  const matches = inner.items.filter(({ key }) => restAfter(path, nameOf(key)) !== undefined);
  const [found] = matches.toSorted((a, b) => nameOf(b.key).length - nameOf(a.key).length);
  if (found === undefined) return undefined;
  return findOffset(document, found.value, restAfter(path, nameOf(found.key)) ?? '') ?? startOf(found.key);
}

function nameOf(key: unknown): string {
  return String(loadYaml().isScalar(key) ? key.value : key);
}

/** Returns the path below a key; `undefined` if the path does not lead through the key. */
function restAfter(path: string, key: string): string | undefined {
  if (!path.startsWith(key)) return undefined;
  const rest = path.slice(key.length);
  if (rest === '' || rest.startsWith('[')) return rest;
  return rest.startsWith('.') ? rest.slice(1) : undefined;
}

function startOf(node: unknown): number | undefined {
  // Every node of a parsed document has a range.
  return (node as { readonly range?: Range | null } | null)?.range?.[0];
}
