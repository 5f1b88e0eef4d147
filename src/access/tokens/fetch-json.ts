import { parseJson, smallLimits } from '../../protocol/json.js';
import { discard, readWhole } from '../../util/outgoing/answer-body.js';
import type { Transport } from '../../util/outgoing/transport.js';

const maxBytes = 512 * 1024;

/**
 * Fetches the JSON object at a URL, without redirects.
 * @throws Error for anything else, and for more than 512 KiB.
 */
export async function fetchJson(url: URL, transport: Transport, timeoutMs: number): Promise<object> {
  const headers = { accept: 'application/json', 'user-agent': 'artifactapi' };
  const { status, body } = await transport.send({ method: 'GET', url, headers, maxRedirects: 0 });
  if (status !== 200) {
    discard(body);
    throw new Error(`${url.host} answered ${status}`);
  }
  const json: unknown = parseJson(await readWhole(body, { maxBytes, timeoutMs }), smallLimits);
  if (typeof json !== 'object' || json === null) throw new Error(`${url.host} did not answer a JSON object`);
  return json;
}
