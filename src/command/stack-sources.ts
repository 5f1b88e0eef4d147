/**
 * The stack traces of the bundle name the files that it was built from. Node's own `--enable-source-maps` has no effect on a
 * `vm.Script`.
 */
import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';

/** What V8 calls the folder of the bundle. It saves this name in compiled code, so it is the same wherever the folder is. */
export const scriptFolder = 'dist/command/';

/**
 * Makes each stack trace name the sources of a bundle, wherever it is printed.
 * @param folder the folder of the maps, which ends in a separator.
 */
export function traceSources(folder: string): void {
  const format = Error.prepareStackTrace?.bind(Error);
  if (format === undefined) return;
  const rename = createRenamer(folder);
  const value = (error: Error, frames: NodeJS.CallSite[]): unknown => {
    const stack: unknown = format(error, frames);
    return typeof stack === 'string' ? rename(stack) : stack;
  };
  // An assignment would throw with `--frozen-intrinsics`.
  Reflect.defineProperty(Error, 'prepareStackTrace', { value, writable: true, configurable: true });
}

/**
 * Returns a function that replaces positions in a stack trace, such as `dist/command/shared.cjs:20:5`, by those in the sources,
 * such as `src/http/reply.ts:12`. It reads a map at its first use. Positions without a map, or with a damaged one, stay.
 */
export function createRenamer(folder: string): (stack: string) => string {
  const maps = new Map<string, SourceMap>();
  const sourceOf = (file: string, line: number, column: number): string | undefined => {
    try {
      const map = maps.get(file) ?? readMap(`${folder}${file}.map`);
      maps.set(file, map);
      const entry = map.findEntry(line - 1, column - 1);
      // It may be that of an earlier line.
      if (!('originalSource' in entry) || entry.generatedLine !== line - 1) return undefined;
      return `${entry.originalSource}:${entry.originalLine + 1}`;
    } catch {
      return undefined;
    }
  };
  const pattern = new RegExp(String.raw`(?<=[ (])${scriptFolder}([\w-]+\.cjs):(\d+):(\d+)`, 'g');
  return (stack) =>
    stack.replaceAll(
      pattern,
      (position: string, file: string, line: string, column: string) =>
        sourceOf(file, Number(line), Number(column)) ?? position,
    );
}

/** @throws if the file is missing or damaged. */
function readMap(file: string): SourceMap {
  // The constructor checks the content.
  return new SourceMap(JSON.parse(readFileSync(file, 'utf8')) as SourceMapPayload);
}
