import { Agent, request } from 'node:http';

const agent = new Agent({ keepAlive: true, maxSockets: 16 });

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {import('node:http').IncomingHttpHeaders} headers
 * @property {Buffer} body
 */

/**
 * One request to a server on loopback.
 * @param {number} port
 * @param {string} method
 * @param {string} path
 * @param {{ headers?: Record<string, string | number>, body?: string | Buffer | import('node:stream').Readable }} [options]
 * @returns {Promise<Answer>}
 */
export function send(port, method, path, { headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, method, path, headers, agent }, (res) => {
      /** @type {Buffer[]} */
      const chunks = [];
      res.on('data', (chunk) => chunks.push(chunk));
      res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks) }));
      res.on('error', reject);
    });
    req.on('error', reject);
    if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) req.end(body);
    else body.on('error', reject).pipe(req);
  });
}

/**
 * The same, and it must be answered with this status.
 * @param {number} status
 * @param {Parameters<typeof send>} args
 */
export async function expect(status, ...args) {
  const answer = await send(...args);
  if (answer.status === status) return answer;
  const [, method, path] = args;
  throw new Error(`${method} ${path}: ${answer.status} instead of ${status}: ${answer.body.toString().slice(0, 500)}`);
}
