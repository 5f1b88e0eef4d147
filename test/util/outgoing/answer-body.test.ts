import { once } from 'node:events';
import { Agent, get, type IncomingMessage, type RequestListener } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { discard, takeArrived } from '../../../src/util/outgoing/answer-body.js';
import { listen, type Listening } from '../../support/servers/registry.js';

let server: Listening | undefined;
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

afterEach(async () => {
  agent.destroy();
  await server?.close();
});

/** Returns the answer once its head, and what came with it, has been parsed. */
async function answerOf(listener: RequestListener): Promise<IncomingMessage> {
  server = await listen(listener);
  return again();
}

async function again(): Promise<IncomingMessage> {
  const [answer] = (await once(get(server?.url ?? '', { agent }), 'response')) as [IncomingMessage];
  return answer;
}

describe('takeArrived', () => {
  it('returns a body that arrived together with its head, and leaves the connection to the next request', async () => {
    const answer = await answerOf((_req, res) => void res.end('small'));
    const { socket } = answer;
    expect(takeArrived(answer)?.toString()).toBe('small');
    expect((await again()).socket).toBe(socket);
  });

  it('returns no bytes for an empty body', async () => {
    const answer = await answerOf((_req, res) => void res.end());
    expect(takeArrived(answer)).toHaveLength(0);
  });

  it('returns undefined while bytes are missing, and once the body was read', async () => {
    let finish = (): void => {};
    const answer = await answerOf((_req, res) => {
      res.writeHead(200, { 'Content-Length': 4 }).write('ab');
      finish = () => void res.end('cd');
    });
    expect(takeArrived(answer)).toBeUndefined();
    finish();
    expect(String(await answer.setEncoding('utf8').toArray())).toBe('ab,cd');
    expect(takeArrived(answer)).toBeUndefined();
  });
});

describe('discard', () => {
  it('leaves the connection to the next request when the whole body arrived, also after it was taken', async () => {
    const answer = await answerOf((_req, res) => void res.end('x'.repeat(10_000)));
    const { socket } = answer;
    discard(answer);
    const next = await again();
    expect(next.socket).toBe(socket);
    takeArrived(next);
    discard(next);
    expect((await again()).socket).toBe(socket);
  });
});
