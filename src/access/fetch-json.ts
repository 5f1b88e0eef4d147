import { parseJson, smallLimits } from '../protocol/json.js';

const timeoutMs = 5000;
const maxBytes = 512 * 1024;

/** The JSON object at a URL: no redirects, 5 s and 512 KiB at most. @throws for anything else. */
export async function fetchJson(url: string): Promise<object> {
  const response = await fetch(url, {
    headers: { accept: 'application/json' },
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  });
  const bytes = await readBytes(response);
  if (response.status !== 200) throw new Error(`${new URL(url).host} answered ${response.status}`);
  const json: unknown = parseJson(bytes, smallLimits);
  if (typeof json !== 'object' || json === null) throw new Error(`${new URL(url).host} answered no JSON object`);
  return json;
}

async function readBytes({ body }: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop early cancels the rest.
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
