import { stripVTControlCharacters } from 'node:util';
import type * as PinoPretty from 'pino-pretty';
import { formatSize } from '../../../protocol/format-bytes.js';

/** A line of the log, parsed. */
type Line = Readonly<Record<string, unknown>>;

/** Fields of a request line that its text shows. */
const shownFields: ReadonlySet<string> = new Set(
  (
    'op method url status durationMs bytesReceived bytesSent principal clientAddress remoteAddress userAgent errorCode ' +
    'cache servedBy id msg'
  ).split(' '),
);

/**
 * Returns a function that turns a JSON line of the log into text for people. Loads its package only here: most servers log
 * JSON.
 */
export async function createReadableFormat(withColors: boolean): Promise<(line: string) => string> {
  const { prettyFactory }: typeof PinoPretty = await import('pino-pretty');
  const format = prettyFactory({
    colorize: withColors,
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
    ignore: 'pid,hostname',
  });
  return (line) => format(readable(JSON.parse(line, makePrintable) as Line));
}

/** Puts the fields of a request into one text. Other lines stay as they are. */
function readable(line: Line): Line {
  if (line['msg'] !== 'request') return line;
  const rest = Object.fromEntries(Object.entries(line).filter(([name]) => !shownFields.has(name)));
  return { ...rest, msg: describeRequest(line) };
}

function describeRequest(line: Line): string {
  const text = (name: string): string => {
    const value = line[name];
    return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
  };
  const parts = [
    `${text('method')} ${text('url')} ${text('status')} ${text('errorCode')}`.trimEnd(),
    `${Number(line['durationMs']).toFixed(1)} ms`,
    `${formatSize(Number(line['bytesReceived']))} in, ${formatSize(Number(line['bytesSent']))} out`,
    `${text('principal')} ${text('clientAddress')}`.trim(),
    [text('cache'), text('servedBy')].filter((part) => part !== '').join(' from '),
    text('userAgent'),
    text('id'),
  ];
  return parts.filter((part) => part !== '').join(' | ');
}

/** Removes what a terminal would execute: clients and upstreams choose parts of the log. */
function makePrintable(_name: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  return stripVTControlCharacters(value).replace(/[^\P{Cc}\n\t]/gu, '?');
}
