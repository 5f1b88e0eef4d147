/**
 * The log of `artifactapi serve`: its format, and how its lines are written. Only the command's `program.ts` imports it.
 */
import { isatty } from 'node:tty';
import { pino, type Logger } from 'pino';
import type { RequestEvent } from '../../../ports/runtime.js';
import type { LogFormat, LogLevel } from '../../config-file.js';
import { LogWriter, writeToDescriptor } from './log-writer.js';
import { createReadableFormat } from './readable-lines.js';

/** The log of a process. */
export interface ServeLog {
  readonly log: Logger;
  /** Logs an answered request at the level `info`, as `log` would. */
  readonly logRequest: (event: RequestEvent) => void;
  /** Writes what waits to be written. Call it before the process exits. */
  readonly end: () => Promise<void>;
}

/**
 * Creates the log on stderr; stdout is for the greeting. An uncaught error is logged and ends the process.
 * @param format the default: readable on a terminal, JSON elsewhere.
 */
export async function createServeLog(level: LogLevel, format: LogFormat | undefined): Promise<ServeLog> {
  const { stderr, stdout } = process;
  const isTerminal = isatty(stderr.fd);
  const isReadable = (format ?? (isTerminal ? 'pretty' : 'json')) === 'pretty';
  const withColors = isTerminal && (process.env['NO_COLOR'] ?? '') === '';
  const toText = isReadable ? await createReadableFormat(withColors) : undefined;
  const writer = new LogWriter(writeToDescriptor(stderr.fd), {
    onDropped: (lines) => log.warn({ lines }, 'log lines dropped'),
  });
  const stream = {
    write: (line: string) => writer.write(toText === undefined ? line : toText(line)),
    flushSync: () => writer.flushSync(),
  };
  const clock = createClock();
  const log = pino(
    { level, base: null, timestamp: clock, formatters: { level: (label) => ({ level: label }) } },
    stream,
  );
  process.on('exit', () => writer.flushSync());
  process.on('uncaughtException', (err, origin) => {
    log.fatal({ err, origin }, 'uncaught error');
    process.exit(1);
  });
  // The reader of stdout or stderr may go away. The server keeps running.
  stdout.on('error', () => {});
  stderr.on('error', () => {});
  const logRequest = (event: RequestEvent): void => stream.write(formatRequest(clock(), event));
  return { log, logRequest, end: () => writer.end() };
}

/**
 * Returns the line that pino would write. It is built by V8, because pino takes more than twice as long, and most lines are
 * those of requests.
 * @param time the text of `createClock`.
 */
export function formatRequest(time: string, event: RequestEvent): string {
  return `{"level":"info"${time},${JSON.stringify(event).slice(1, -1)},"msg":"request"}\n`;
}

/** Returns a function that formats the time for pino, and formats the date and the seconds only once a second. */
function createClock(): () => string {
  let second = 0;
  let text = '';
  return () => {
    const now = Date.now();
    const ms = now % 1000;
    if (now - ms !== second) {
      second = now - ms;
      text = new Date(second).toISOString().slice(0, -4);
    }
    return `,"time":"${text}${String(ms).padStart(3, '0')}Z"`;
  };
}
