import { Agent, request } from 'node:http';
import { pipeline } from 'node:stream/promises';

const agent = new Agent({ keepAlive: true, maxSockets: 16 });

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {import('node:http').IncomingHttpHeaders} headers
 * @property {Uint8Array} body
 */

/**
 * @typedef {object} Content
 * @property {Record<string, string | number>} [headers]
 * @property {string | Uint8Array | AsyncIterable<Uint8Array>} [body]
 */

/**
 * Sends a request to a server on loopback.
 * @param {number} port
 * @param {string} method
 * @param {string} path
 * @param {Content} [content]
 * @returns {Promise<Answer>}
 */
export function send(port, method, path, { headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, method, path, headers, agent }, (res) => {
      /** @type {Uint8Array[]} */
      const chunks = [];
      res.on('data', (chunk) => chunks.push(chunk));
      res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks) }));
      res.on('error', reject);
    });
    req.on('error', reject);
    if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) req.end(body);
    else pipeline(body, req).catch(reject);
  });
}

/**
 * Sends a request. Rejects if the answer has another status.
 * @param {number} status
 * @param {Parameters<typeof send>} args
 */
export async function expect(status, ...args) {
  const answer = await send(...args);
  if (answer.status === status) return answer;
  const [, method, path] = args;
  throw new Error(
    `${method} ${path}: status ${answer.status} instead of ${status}: ${Buffer.from(answer.body).toString('utf8', 0, 500)}`,
  );
}
