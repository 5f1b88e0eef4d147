import { once } from 'node:events';
import { Agent, request, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Method } from './client.js';

/** A request to send. */
export interface PlainRequest {
  readonly method: Method;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
}

/** Sends the requests one after the other on as few connections as the server allows, and returns their number. */
export async function sendInTurn(
  origin: string,
  requests: readonly PlainRequest[],
): Promise<{ readonly statuses: readonly (number | undefined)[]; readonly connections: number }> {
  // undici, which other tests use, closes connections by itself after a HEAD.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const statuses: (number | undefined)[] = [];
  const sockets = new Set<Socket>();
  for (const { method, path, headers = {}, body } of requests) {
    const sent = request(`${origin}${path}`, { agent, method, headers: { ...lengthOf(body), ...headers } }).end(body);
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    sockets.add(answer.socket);
    statuses.push(answer.statusCode);
    answer.resume();
    await once(answer, 'end');
  }
  agent.destroy();
  return { statuses, connections: sockets.size };
}

function lengthOf(body: Buffer | string | undefined): Record<string, number> {
  return body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
}
