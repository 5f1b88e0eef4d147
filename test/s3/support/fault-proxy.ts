import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { inject } from 'vitest';
import { readBounded } from '../../../src/util/streams/streams.js';

/** What happens to a request: an answer of the proxy, an answer that is cut or stalls after some bytes, one that arrives late, a lost answer, or none. */
export type Fault =
  | { readonly answer: number; readonly body?: string }
  | { readonly cutAfter: number }
  | { readonly stallAfter: number }
  | { readonly delayMs: number }
  | 'lose answer'
  | 'hang'
  | undefined;

/** Decides about a request. */
export type FindFault = (request: { readonly method: string; readonly url: URL; readonly number: number }) => Fault;

/** A proxy in front of the S3 server. */
export interface FaultProxy {
  readonly endpoint: URL;
  /** The number of requests so far. */
  readonly requests: number;
  find: FindFault;
  stop(): Promise<void>;
}

/** Starts a proxy that passes requests on until a test sets `find`. @param target the server. @default that of the tests */
export async function startFaultProxy(target = new URL(inject('s3Endpoint'))): Promise<FaultProxy> {
  let requests = 0;
  const proxy = {
    find: (() => undefined) as FindFault,
    get requests() {
      return requests;
    },
  };
  const server = createServer((incoming, answer) => {
    const url = new URL(incoming.url ?? '/', target);
    const fault = proxy.find({ method: incoming.method ?? '', url, number: ++requests });
    void pass(incoming, answer, target, fault).catch(() => answer.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return Object.assign(proxy, {
    endpoint: new URL(`http://127.0.0.1:${port}`),
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

async function pass(incoming: IncomingMessage, answer: ServerResponse, target: URL, fault: Fault): Promise<void> {
  const body = await readBounded(incoming, Infinity);
  if (typeof fault === 'object' && 'answer' in fault) {
    answer.writeHead(fault.answer, { 'content-type': 'application/xml' });
    answer.end(fault.body ?? '<Error><Code>SlowDown</Code></Error>');
    return;
  }
  if (fault === 'hang') return;
  const { method, url: path, headers } = incoming;
  const outgoing = request({ host: target.hostname, port: target.port, method, path, headers });
  outgoing.end(body);
  const [reply] = (await once(outgoing, 'response')) as [IncomingMessage];
  const bytes = (await readBounded(reply, Infinity)) ?? Buffer.alloc(0);
  if (fault === 'lose answer') {
    answer.destroy();
    return;
  }
  if (typeof fault === 'object' && 'delayMs' in fault) await setTimeout(fault.delayMs);
  answer.writeHead(reply.statusCode ?? 500, reply.headers);
  if (fault === undefined || 'delayMs' in fault) {
    answer.end(bytes);
    return;
  }
  const end = 'stallAfter' in fault ? fault.stallAfter : fault.cutAfter;
  await new Promise((resolve) => answer.write(bytes.subarray(0, end), resolve));
  if ('cutAfter' in fault) answer.destroy();
}
