import type { Logger } from '../ports/runtime.js';

/** The default logger of a registry: writes errors and warnings to stderr, one plain line each. */
export const plainLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: (fields, message) => printLine('warning', message, fields),
  error: (fields, message) => printLine('error', message, fields),
};

/** Writes `artifactapi: <level>: <message>: <error> {<other fields>}` to stderr. */
export function printLine(level: string, message: string, fields: object): void {
  const { err, ...rest } = fields as { readonly err?: unknown };
  const reason = err === undefined ? '' : `: ${messagesOf(err)}`;
  // Omits undefined fields.
  const details = JSON.stringify(rest);
  const line = `artifactapi: ${level}: ${message}${reason}${details === '{}' ? '' : ` ${details}`}`;
  process.stderr.write(`${line.replace(/\s*[\r\n]\s*/g, ' ')}\n`);
}

/** Returns an error's message and those of its causes, which often hold the reason. */
export function messagesOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : messagesOf(error.cause);
  return cause === '' || error.message.includes(cause) ? error.message : `${error.message}: ${cause}`;
}
