import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { TargetPolicy } from '../../ports/upstream.js';
import { parseJson, smallLimits } from '../../protocol/json.js';
import { readBounded } from '../../util/streams.js';

const timeoutMs = 5000;
const maxBytes = 512 * 1024;

/** The JSON object at a URL: no redirects, 5 s and 512 KiB at most, no host that the policy refuses. @throws for anything else. */
export async function fetchJson(url: URL, targets: TargetPolicy): Promise<object> {
  targets.check(url);
  const answer = await ask(url, targets);
  try {
    const { statusCode = 0 } = answer;
    if (statusCode !== 200) throw new Error(`${url.host} answered ${statusCode}`);
    const bytes = await readBounded(answer, maxBytes);
    if (bytes === undefined) throw new Error(`the answer is larger than ${maxBytes} bytes`);
    const json: unknown = parseJson(bytes, smallLimits);
    if (typeof json !== 'object' || json === null) throw new Error(`${url.host} answered no JSON object`);
    return json;
  } finally {
    answer.destroy();
  }
}

function ask(url: URL, { lookup }: TargetPolicy): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, {
      agent: false,
      headers: { accept: 'application/json' },
      lookup,
      // Of the answer's body too.
      signal: AbortSignal.timeout(timeoutMs),
    });
    request.once('response', resolve).on('error', reject).end();
  });
}
