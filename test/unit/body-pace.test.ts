import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { defaultPace, keepPace } from '../../src/http/body-pace.js';
import { errorReply, send } from '../../src/http/reply.js';
import { RegistryError } from '../../src/index.js';
import { writeInBatches } from '../../src/util/streams.js';
import { RawConnection, rawHead } from '../support/raw.js';
import { listen, recordingLogger } from '../support/registry.js';

/** A request in the middle of its body, whose connection counts as the test says. */
function makeRequest(headers: Record<string, string> = { 'content-length': '1000000' }) {
  const socket = Object.assign(new EventEmitter(), { bytesRead: 700 });
  const state = { complete: false, destroyed: false, readableLength: 0, readableHighWaterMark: 16_384 };
  const req = { ...state, headers, socket };
  return { req, socket, message: req as unknown as IncomingMessage };
}

/** A task that ends when the test says so. */
function makeTask() {
  const ends: { resolve?: (value: string) => void; reject?: (error: Error) => void } = {};
  const task = new Promise<string>((resolve, reject) => Object.assign(ends, { resolve, reject }));
  return {
    task,
    resolve: (value: string) => ends.resolve?.(value),
    reject: (error: Error) => ends.reject?.(error),
  };
}

async function settledOf(promise: Promise<unknown>): Promise<unknown> {
  return Promise.race([promise.catch((error: unknown) => error), Promise.resolve('pending')]);
}

const slow = { code: 'BLOB_UPLOAD_INVALID', status: 408, headers: { Connection: 'close' } };

describe('keepPace', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => {
    const left = vi.getTimerCount();
    vi.useRealTimers();
    if (left > 0) throw new Error('a timer is left, however it ended');
  });

  it('refuses a body that comes too slowly over a whole window', async () => {
    const { message, socket } = makeRequest();
    const { task, resolve } = makeTask();
    const paced = keepPace(message, task);
    const outcome = expect(paced).rejects.toMatchObject(slow);
    socket.bytesRead += 60 * 1024 - 1;
    await vi.advanceTimersByTimeAsync(59_999);
    expect(await settledOf(paced)).toBe('pending');
    await vi.advanceTimersByTimeAsync(1);
    await outcome;
    resolve('kept');
    expect(await task).toBe('kept');
  });

  it('lets a body take its time that is fast enough in every window', async () => {
    const { message, socket } = makeRequest();
    const { task, resolve } = makeTask();
    const paced = keepPace(message, task);
    for (let i = 0; i < 10; i++) {
      socket.bytesRead += 60 * 1024;
      await vi.advanceTimersByTimeAsync(60_000);
    }
    resolve('done');
    expect(await paced).toBe('done');
  });

  it('judges each window by itself', async () => {
    const { message, socket } = makeRequest();
    const { task, resolve } = makeTask();
    const outcome = expect(keepPace(message, task)).rejects.toMatchObject(slow);
    socket.bytesRead += 1_000_000;
    await vi.advanceTimersByTimeAsync(120_000);
    await outcome;
    resolve('');
  });

  it('does not count the time in which we are the slow ones', async () => {
    const { message, req } = makeRequest();
    const { task, resolve } = makeTask();
    const paced = keepPace(message, task);
    req.readableLength = req.readableHighWaterMark;
    await vi.advanceTimersByTimeAsync(600_000);
    req.readableLength = 0;
    await vi.advanceTimersByTimeAsync(50_000);
    expect(await settledOf(paced)).toBe('pending');
    const outcome = expect(paced).rejects.toMatchObject(slow);
    await vi.advanceTimersByTimeAsync(10_000);
    await outcome;
    resolve('');
  });

  it.each(['complete', 'destroyed'] as const)('leaves a body alone that is %s', async (state) => {
    const { message, req } = makeRequest();
    const { task, resolve } = makeTask();
    const paced = keepPace(message, task);
    req[state] = true;
    await vi.advanceTimersByTimeAsync(600_000);
    expect(vi.getTimerCount()).toBe(0);
    resolve('done');
    expect(await paced).toBe('done');
  });

  it('fails as the task does', async () => {
    const { message } = makeRequest({ 'transfer-encoding': 'chunked' });
    const { task, reject } = makeTask();
    const outcome = expect(keepPace(message, task)).rejects.toThrow('of its own');
    reject(new Error('of its own'));
    await outcome;
  });

  it.each<[string, Record<string, string>, number]>([
    ['nobody asks for a pace', { 'content-length': '10' }, 0],
    ['there is no body', {}, 1024],
    ['the body is empty', { 'content-length': '0' }, 1024],
  ])('does nothing when %s', (_title, headers, minBytesPerSecond) => {
    const { task } = makeTask();
    expect(keepPace(makeRequest(headers).message, task, { ...defaultPace, minBytesPerSecond })).toBe(task);
  });
});

describe('a connection with a slow body', () => {
  it('gets its answer and is closed, and what came is kept', async () => {
    const kept: Buffer[] = [];
    const ends: unknown[] = [];
    const server = await listen((req, res) => {
      const task = writeInBatches(req, async (chunks) => void kept.push(...chunks), { batchBytes: 1000 });
      task.catch((error: unknown) => ends.push(error));
      keepPace(req, task, { minBytesPerSecond: 1000, windowMs: 60 }).catch(async (error: unknown) => {
        if (!(error instanceof RegistryError)) throw error;
        await send(req, res, errorReply(error), { id: 'one', isPublic: true, now: 0, log: recordingLogger() });
      });
    });
    try {
      const connection = await RawConnection.open(server.port);
      const head = rawHead('PATCH', '/', { 'Content-Length': '100', Connection: 'keep-alive' });
      await connection.write(`${head}0123456789`);
      const { status, headers, body } = await connection.untilClosed();
      expect([status, headers['connection']]).toEqual([408, 'close']);
      expect(body).toContain('BLOB_UPLOAD_INVALID');
      await expect.poll(() => ends).toMatchObject([{ name: 'SourceClosedError' }]);
      expect(Buffer.concat(kept).toString()).toBe('0123456789');
    } finally {
      await server.close();
    }
  });
});
