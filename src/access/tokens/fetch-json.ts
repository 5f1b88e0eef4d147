import { parseJson, smallLimits } from '../../protocol/json.js';
import type { Hop } from '../../protocol/upstream/redirects.js';
import { discard, readDocument } from '../../util/outgoing/answer-body.js';
import type { Transport } from '../../util/outgoing/transport.js';

const maxBytes = 512 * 1024;

/** An answer that is not 200. */
export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/**
 * Fetches a JSON object from a URL. Does not follow redirects.
 * @throws StatusError when the answer is not 200; Error when it is not a JSON object of at most 512 KiB.
 */
export async function fetchJson(
  url: URL,
  transport: Transport,
  timeoutMs: number,
  request: Partial<Pick<Hop, 'method' | 'credentials' | 'form'>> = {},
): Promise<object> {
  const headers = { accept: 'application/json', 'user-agent': 'artifactapi' };
  const hop: Hop = { method: 'GET', url, headers, credentials: {}, elsewhere: false, ...request };
  const { status, body } = await transport.send(hop, { maxRedirects: 0 });
  if (status !== 200) {
    discard(body);
    throw new StatusError(`${url.host} answered ${status}`, status);
  }
  const json: unknown = parseJson(await readDocument(body, { maxBytes, timeoutMs }), smallLimits);
  if (typeof json !== 'object' || json === null) throw new Error(`${url.host} did not answer with a JSON object`);
  return json;
}
