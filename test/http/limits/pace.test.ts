import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { defaultPace, keepDownloadPace, keepPace } from '../../../src/http/limits/pace.js';
import { errorReply, send } from '../../../src/http/reply.js';
import { RegistryError } from '../../../src/index.js';
import { writeInBatches } from '../../../src/util/streams/streams.js';
import { RawConnection, rawHead } from '../../support/clients/raw.js';
import { listen, recordingLogger } from '../../support/servers/registry.js';

/** Returns a request that is receiving its body. The test sets the byte counters of the connection. */
function makeRequest(headers: Record<string, string> = { 'content-length': '1000000' }) {
  const socket = Object.assign(new EventEmitter(), { bytesRead: 700 });
  const state = { complete: false, destroyed: false, readableLength: 0, readableHighWaterMark: 16_384 };
  const req = { ...state, headers, socket };
  return { req, socket, message: req as unknown as IncomingMessage };
}

/** Returns a task that the test ends. */
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

const slow = { code: 'BLOB_UPLOAD_INVALID', status: 408, refusal: 'slow_upload', headers: { Connection: 'close' } };

describe('keepPace', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => {
    const left = vi.getTimerCount();
    vi.useRealTimers();
    if (left > 0) throw new Error('a timer is still running');
  });

  it('refuses a body that arrives too slowly over a whole window', async () => {
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

  it('accepts a long body that is fast enough in every window', async () => {
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

  it('measures each window separately', async () => {
    const { message, socket } = makeRequest();
    const { task, resolve } = makeTask();
    const outcome = expect(keepPace(message, task)).rejects.toMatchObject(slow);
    socket.bytesRead += 1_000_000;
    await vi.advanceTimersByTimeAsync(120_000);
    await outcome;
    resolve('');
  });

  it('does not count the time in which the client waits for the server', async () => {
    // A full buffer means that the server has not read yet.
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

  it.each(['complete', 'destroyed'] as const)('stops watching a body that is %s', async (state) => {
    const { message, req } = makeRequest();
    const { task, resolve } = makeTask();
    const paced = keepPace(message, task);
    req[state] = true;
    await vi.advanceTimersByTimeAsync(600_000);
    expect(vi.getTimerCount()).toBe(0);
    resolve('done');
    expect(await paced).toBe('done');
  });

  it('rejects with the error of the task', async () => {
    const { message } = makeRequest({ 'transfer-encoding': 'chunked' });
    const { task, reject } = makeTask();
    const outcome = expect(keepPace(message, task)).rejects.toThrow('of its own');
    reject(new Error('of its own'));
    await outcome;
  });

  it.each<[string, Record<string, string>, number]>([
    ['there is no minimum rate', { 'content-length': '10' }, 0],
    ['there is no body', {}, 1024],
    ['the body is empty', { 'content-length': '0' }, 1024],
  ])('does nothing when %s', (_title, headers, minBytesPerSecond) => {
    const { task } = makeTask();
    expect(keepPace(makeRequest(headers).message, task, { ...defaultPace, minBytesPerSecond })).toBe(task);
  });
});

/** Returns a response in transmission. The test sets the byte counters of the connection. */
function makeResponse() {
  const socket = { bytesWritten: 1_000_000, writableLength: 65_536 };
  const state = { socket, writableEnded: false, writableFinished: false, destroyed: false };
  const res = Object.assign(new EventEmitter(), state, { destroy: () => (res.destroyed = true) });
  /** The client reads this many bytes, and as many are written. */
  const take = (bytes: number) => (socket.bytesWritten += bytes);
  return { res, socket, take, message: res as unknown as ServerResponse };
}

describe('keepDownloadPace', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('closes the connection of a client that reads nothing over a whole window', async () => {
    const { res, message } = makeResponse();
    const onSlow = vi.fn();
    keepDownloadPace(message, defaultPace, onSlow);
    await vi.advanceTimersByTimeAsync(60_000);
    // 64 KiB are pending, which a client at the minimum rate reads in 64 s.
    expect(res.destroyed).toBe(false);
    await vi.advanceTimersByTimeAsync(10_000);
    expect([res.destroyed, onSlow.mock.calls.length, vi.getTimerCount()]).toEqual([true, 1, 0]);
  });

  it('gives a client the time to read a large chunk at the minimum rate', async () => {
    const { res, socket, message } = makeResponse();
    socket.writableLength = 1024 * 1024;
    keepDownloadPace(message, defaultPace, () => undefined);
    await vi.advanceTimersByTimeAsync(1_020_000);
    expect(res.destroyed).toBe(false);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(res.destroyed).toBe(true);
  });

  it('accepts a long response that is read fast enough in every window', async () => {
    const { res, message, take } = makeResponse();
    keepDownloadPace(message, defaultPace, () => undefined);
    for (let i = 0; i < 10; i++) {
      take(65_536);
      await vi.advanceTimersByTimeAsync(60_000);
    }
    expect(res.destroyed).toBe(false);
  });

  it('measures each window separately', async () => {
    const { res, message, take } = makeResponse();
    keepDownloadPace(message, defaultPace, () => undefined);
    take(1_000_000_000);
    await vi.advanceTimersByTimeAsync(130_000);
    expect(res.destroyed).toBe(true);
  });

  it('does not count the time in which the client waits for data', async () => {
    const { res, socket, message } = makeResponse();
    socket.writableLength = 0;
    keepDownloadPace(message, defaultPace, () => undefined);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(res.destroyed).toBe(false);
  });

  it('stops its timer when the response is sent, and starts none without a minimum rate', () => {
    const { res, message } = makeResponse();
    keepDownloadPace(message, defaultPace, () => undefined);
    res.emit('close');
    expect(vi.getTimerCount()).toBe(0);
    keepDownloadPace(message, { ...defaultPace, minBytesPerSecond: 0 }, () => undefined);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('starts no timer for a response that the operating system has completely', () => {
    const { res, socket, message } = makeResponse();
    res.writableEnded = true;
    socket.writableLength = 0;
    keepDownloadPace(message, defaultPace, () => undefined);
    expect(vi.getTimerCount()).toBe(0);
    socket.writableLength = 1;
    keepDownloadPace(message, defaultPace, () => undefined);
    expect(vi.getTimerCount()).toBe(1);
  });
});

describe('a connection whose client reads its response too slowly', () => {
  it.each(['before', 'after'])('is closed when watching begins %s the response', async (begins) => {
    const slow: string[] = [];
    const server = await listen((_req, res) => {
      const limits = { minBytesPerSecond: 1_000_000_000, windowMs: 60 };
      if (begins === 'after') res.end(Buffer.alloc(20_000_000));
      keepDownloadPace(res, limits, () => void slow.push('one'));
      if (begins === 'before') res.end(Buffer.alloc(20_000_000));
    });
    try {
      const connection = await RawConnection.open(server.port);
      connection.socket.pause();
      await connection.write(rawHead('GET', '/'));
      await expect.poll(() => slow).toEqual(['one']);
      connection.socket.resume();
      const { body } = await connection.untilClosed();
      expect(body.length).toBeLessThan(20_000_000);
    } finally {
      await server.close();
    }
  });
});

describe('a connection with a slow body', () => {
  it('gets its response and is closed, and the received bytes are kept', async () => {
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
