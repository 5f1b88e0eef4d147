import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Pipelines } from '../../../src/http/limits/pipelines.js';

/** Opens a connection with waiting requests, as Node delivers them. */
function openConnection(pipelines: Pipelines) {
  const socket = Object.assign(new EventEmitter(), {
    destroyed: false,
    remoteAddress: '192.0.2.1',
    pause: () => undefined,
    resume: () => undefined,
    destroy: () => void (socket.destroyed = true),
  });
  const served: number[] = [];
  const responses: EventEmitter[] = [];
  const add = (): void => {
    const at = responses.length;
    const res = Object.assign(new EventEmitter(), { socket: null, writableFinished: false });
    responses.push(res);
    void pipelines.runInTurn(
      { socket } as unknown as IncomingMessage,
      res as unknown as ServerResponse,
      async () => void served.push(at),
    );
  };
  return { socket, served, responses, add };
}

/** Runs all pending microtasks. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

it('a waiting request runs in a later turn of the event loop than the end of the previous one', async () => {
  const connection = openConnection(new Pipelines(() => undefined));
  connection.add();
  connection.responses[0]?.emit('socket');
  await settle();
  expect(connection.served).toEqual([]);
  await setImmediate();
  await settle();
  expect(connection.served).toEqual([0]);
});

it('the 65th waiting request closes the connection, and no waiting request runs', async () => {
  const overflows: string[] = [];
  const connection = openConnection(new Pipelines((address) => void overflows.push(address)));
  for (let i = 0; i < 64; i++) connection.add();
  expect([connection.socket.destroyed, overflows]).toEqual([false, []]);
  for (let i = 0; i < 1000; i++) connection.add();
  expect([connection.socket.destroyed, overflows]).toEqual([true, ['192.0.2.1']]);
  connection.socket.emit('close');
  for (const res of connection.responses) res.emit('socket');
  await setImmediate();
  await settle();
  expect(connection.served).toEqual([]);
});
