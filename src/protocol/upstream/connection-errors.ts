import { failed, UpstreamVerdict } from './verdict.js';

const brokenOff = 'the connection was closed before the answer was complete';
/** Descriptions of error codes. Messages of errors are not used: they may hold URLs, and URLs may be signed. */
const descriptions: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed',
  ENOTFOUND: 'its host name does not exist',
  EAI_AGAIN: 'its host name could not be resolved',
  EHOSTUNREACH: 'its host is unreachable',
  ENETUNREACH: 'its network is unreachable',
  ETIMEDOUT: 'no connection in time',
  SourceClosedError: brokenOff,
  HPE_HEADER_OVERFLOW: 'the headers of the answer are too large',
};

/** Returns the verdict on a request without an answer, or on an answer that broke off. */
export function verdictOf(error: unknown): UpstreamVerdict {
  const root = rootOf(error);
  return root instanceof UpstreamVerdict ? root : failed(describe(root), { trouble: true });
}

function describe(error: unknown): string {
  const code = codeOf(error);
  // Node uses one code for a connection that breaks before the answer and within its body.
  if (code === 'ECONNRESET' && error instanceof Error && error.message === 'aborted') return brokenOff;
  const known = descriptions[code];
  if (known !== undefined) return known;
  if (code.startsWith('HPE_')) return `its answer is not HTTP (${code})`;
  if (/CERT|SSL|TLS|ISSUER|SELF_SIGNED|EPROTO/.test(code)) return `its certificate or TLS fails (${code})`;
  return `the request failed (${code})`;
}

/** Returns the code of an error or of its cause, else the name of its class. */
export function codeOf(error: unknown): string {
  const root = rootOf(error);
  if (!(root instanceof Error)) return 'unknown';
  return 'code' in root && typeof root.code === 'string' ? root.code : root.name;
}

/** Follows causes to the first error with a code. Node reports a host with several addresses as several errors. */
function rootOf(error: unknown): unknown {
  if (error instanceof AggregateError && error.errors.length > 0) return rootOf(error.errors[0]);
  if (!(error instanceof Error) || error.cause === undefined) return error;
  return 'code' in error && typeof error.code === 'string' ? error : rootOf(error.cause);
}
