import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Logger } from '../../src/index.js';
import { createRuntime } from '../../src/composition/runtime.js';
import { plainLogger } from '../../src/util/plain-log.js';
import { recordingLogger } from '../support/registry.js';

const event = { name: 'made' };
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

/** Rejections count as unhandled once the microtasks and a turn of the event loop are over. */
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
  ])('that %s breaks nothing, and its first failure is reported to stderr', async (_how, fail) => {
    const logger: Logger = { debug: fail, info: fail, warn: fail, error: fail };
    const { log } = createRuntime(logger);
    log.error({}, 'one');
    log.info({}, 'two');
    await settle();
    log.warn({}, 'three');
    await settle();
    expect(unhandled).toEqual([]);
    expect(stderr).toEqual(['artifactapi: error: the logger failed; its further failures are not reported: no disk\n']);
  });

  it('gets its own `this`', () => {
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

describe('a listener that fails', () => {
  it('is logged with the name of the event, and the other listeners are called', async () => {
    const logger = recordingLogger();
    const runtime = createRuntime(logger);
    const seen: unknown[] = [];
    runtime.events.on('repository.created', () => {
      throw new Error('sync');
    });
    // A host without types may pass an async function.
    const listener: () => unknown = () => Promise.reject(new Error('async'));
    runtime.events.on('repository.created', listener);
    runtime.events.once('repository.created', (told) => void seen.push(told));
    runtime.emit('repository.created', event);
    runtime.emit('repository.created', event);
    await settle();
    expect(seen).toEqual([event]);
    expect(unhandled).toEqual([]);
    const failures = logger.lines.map(({ level, fields, message }) => [level, fields, message]);
    const failed = (message: string) => [
      'error',
      { err: expect.objectContaining({ message }) as unknown, event: 'repository.created' },
      'event listener failed',
    ];
    expect(failures).toEqual([failed('sync'), failed('sync'), failed('async'), failed('async')]);
  });

  it('shows on stderr where no logger is given', () => {
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
