import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { admin } from '../support/access/callers.js';
import type { Logger } from '../../src/index.js';
import { createRuntime } from '../../src/composition/runtime.js';
import { plainLogger } from '../../src/util/plain-log.js';
import { recordingLogger } from '../support/servers/registry.js';

const event = { name: 'created', by: admin };
let stderr: string[];
const unhandled: unknown[] = [];
const note = (cause: unknown): void => void unhandled.push(cause);
beforeEach(() => {
  stderr = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => stderr.push(String(text)) > 0);
  unhandled.length = 0;
  process.on('unhandledRejection', note);
});
afterEach(() => {
  process.off('unhandledRejection', note);
  vi.restoreAllMocks();
});

/** Waits until Node has reported unhandled rejections: after all microtasks and one turn of the event loop. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

describe('the logger of a host', () => {
  it.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('no disk');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no disk'))],
  ])('that %s breaks nothing, and its first failure is reported on stderr', async (_how, fail) => {
    const logger: Logger = { debug: fail, info: fail, warn: fail, error: fail };
    const { log } = createRuntime(logger);
    log.error({}, 'one');
    log.info({}, 'two');
    await settle();
    log.warn({}, 'three');
    await settle();
    expect(unhandled).toEqual([]);
    expect(stderr).toEqual(['artifactapi: error: logger failed; further failures are not reported: no disk\n']);
  });

  it('is called with its own `this`', () => {
    class Counting implements Logger {
      #lines = 0;
      debug = (): void => {};
      info(): void {
        this.#lines++;
      }
      warn = (): void => {};
      error = (): void => {};
      get lines(): number {
        return this.#lines;
      }
    }
    const logger = new Counting();
    createRuntime(logger).log.info({}, 'text');
    expect(logger.lines).toBe(1);
    expect(stderr).toEqual([]);
  });
});

describe('an event listener that fails', () => {
  it('is logged with the name of the event, and the other listeners are called', async () => {
    const logger = recordingLogger();
    const runtime = createRuntime(logger);
    const received: unknown[] = [];
    runtime.events.on('repository.created', () => {
      throw new Error('sync');
    });
    // A host in plain JavaScript may pass an async function.
    const listener: () => unknown = () => Promise.reject(new Error('async'));
    runtime.events.on('repository.created', listener);
    runtime.events.once('repository.created', (payload) => void received.push(payload));
    runtime.emit('repository.created', event);
    runtime.emit('repository.created', event);
    await settle();
    expect(received).toEqual([event]);
    expect(unhandled).toEqual([]);
    const failures = logger.lines.map(({ level, fields, message }) => [level, fields, message]);
    const failed = (message: string) => [
      'error',
      { err: expect.objectContaining({ message }) as unknown, event: 'repository.created' },
      'event listener failed',
    ];
    expect(failures).toEqual([failed('sync'), failed('sync'), failed('async'), failed('async')]);
  });

  it('is reported on stderr if there is no logger', () => {
    const runtime = createRuntime(plainLogger);
    runtime.events.on('repository.created', () => {
      throw new Error('first line\nsecond line');
    });
    runtime.emit('repository.created', event);
    expect(stderr).toEqual([
      'artifactapi: error: event listener failed: first line second line {"event":"repository.created"}\n',
    ]);
  });
});
