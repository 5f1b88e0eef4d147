import { formatBytes } from '../archives/progress.js';
import type { Document } from './api-client.js';

/** The format of a value for people. `time` is in RFC 3339 format in the document. */
type Kind = 'text' | 'bytes' | 'count' | 'time' | 'list' | 'flag' | 'digest';

/** A column of a list, or a line of a document: its title, and the field or a function of the document. */
export type Column = readonly [title: string, field: string | ((document: Document) => unknown), kind?: Kind];

/** The format of times: relative to now for people, RFC 3339 for scripts. */
export interface FormatOptions {
  readonly now: number;
  readonly relative: boolean;
}

const steps: readonly (readonly [seconds: number, unit: string])[] = [
  [31_536_000, 'year'],
  [2_592_000, 'month'],
  [86_400, 'day'],
  [3600, 'h'],
  [60, 'min'],
  [1, 's'],
];

/** Formats a value of a document. Returns `-` for a value that is missing. */
function formatValue(value: unknown, kind: Kind, options: FormatOptions): string {
  if (value === undefined || value === null || value === '') return '-';
  if (kind === 'bytes' && typeof value === 'number') return formatBytes(value);
  if (kind === 'time' && typeof value === 'string') return formatTime(value, options);
  if (kind === 'flag') return value === true ? 'yes' : 'no';
  if (kind === 'digest' && typeof value === 'string') return options.relative ? shortDigest(value) : printable(value);
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map((one) => printable(textOf(one))).join(' ');
  return printable(textOf(value));
}

/** Formats a time as `3 h ago` or `in 2 days`, or leaves it in RFC 3339 format. */
export function formatTime(time: string, { now, relative }: FormatOptions): string {
  const at = Date.parse(time);
  if (!relative || Number.isNaN(at)) return printable(time);
  const seconds = Math.round(Math.abs(now - at) / 1000);
  const [size, unit] = steps.find(([one]) => seconds >= one) ?? [1, 's'];
  const amount = Math.floor(seconds / size);
  if (amount === 0) return 'now';
  const isWord = unit.length > 3;
  const text = `${amount} ${unit}${isWord && amount > 1 ? 's' : ''}`;
  return at <= now ? `${text} ago` : `in ${text}`;
}

/** Returns the rows of a table as lines with aligned columns, the first of them with the titles. */
export function formatTable(
  rows: readonly Document[],
  columns: readonly Column[],
  options: FormatOptions,
): readonly string[] {
  const cells = rows.map((row) =>
    columns.map(([, field, kind = 'text']) => formatValue(valueOf(row, field), kind, options)),
  );
  const table = [columns.map(([title]) => title.toUpperCase()), ...cells];
  const widths = columns.map((_column, i) => Math.max(...table.map((line) => line[i]?.length ?? 0)));
  const isRight = columns.map(([, , kind]) => kind === 'bytes' || kind === 'count');
  const pad = (cell: string, i: number): string =>
    isRight[i] === true ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0);
  return table.map((line) => line.map(pad).join('  ').trimEnd());
}

/** Returns the fields of a document as aligned lines. Omits missing fields. */
export function formatDocument(
  document: Document,
  columns: readonly Column[],
  options: FormatOptions,
): readonly string[] {
  const shown = columns
    .map(([title, field, kind = 'text']) => [title, valueOf(document, field), kind] as const)
    .filter(([, value]) => value !== undefined && value !== null);
  const width = Math.max(0, ...shown.map(([title]) => title.length));
  return shown.map(([title, value, kind]) => `${`${title}:`.padEnd(width + 2)}${formatValue(value, kind, options)}`);
}

/** Replaces control and formatting characters: text from others must not command the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\uFFFD');
}

function valueOf(document: Document, field: Column[1]): unknown {
  return typeof field === 'string' ? document[field] : field(document);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function shortDigest(digest: string): string {
  return printable(digest.replace(/^(sha(?:256|512):[0-9a-f]{12})[0-9a-f]+$/, '$1'));
}
