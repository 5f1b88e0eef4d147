import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRuntime } from '../../src/composition/runtime.js';
import { JobRunner } from '../../src/operations/jobs.js';
import { WebhookBook } from '../../src/operations/webhooks/webhook-book.js';
import type { JobContext, JobKind, JobOutcome } from '../../src/ports/operations/jobs.js';
import type { PostgresMetadataStore } from '../../src/storage/postgres/postgres-metadata-store.js';
import { repository } from '../contracts/metadata-samples.js';
import { admin } from '../support/access/callers.js';
import { recordingLogger } from '../support/servers/registry.js';
import { webhookOf } from '../support/webhooks/scene.js';
import { startSink, type Sink } from '../support/webhooks/sink.js';
import { createDatabase, type TestDatabase } from './databases.js';

let database: TestDatabase;
let stores: PostgresMetadataStore[];

beforeEach(async () => {
  database = await createDatabase();
  stores = [await database.open(), await database.open()];
});
afterEach(async () => {
  for (const store of stores) await store.close();
  await database.drop();
});

/** Ends all leases, as time does after their holder died. */
const endLeases = () => database.query('DELETE FROM lease');

/** A kind of job whose runs end when the test says so. */
class Oven implements JobKind<object> {
  readonly kind = 'oven';
  readonly isResumable = true;
  readonly runs: JobContext<object>[] = [];
  #end: (outcome: JobOutcome) => void = () => undefined;

  parse(): object {
    return {};
  }

  run(context: JobContext<object>): Promise<JobOutcome> {
    this.runs.push(context);
    return new Promise((resolve, reject) => {
      this.#end = resolve;
      context.signal.addEventListener('abort', () => reject(context.signal.reason));
    });
  }

  end(): void {
    this.#end({ state: 'succeeded', report: {} });
  }
}

describe('jobs of two processes', () => {
  let ovens: Oven[];
  let runners: JobRunner[];
  beforeEach(async () => {
    ovens = [new Oven(), new Oven()];
    runners = [];
    for (const i of [0, 1]) await open(i);
  });
  afterEach(async () => {
    for (const runner of runners) await runner.close();
  });
  /** Opens a runner on one of the stores, as a process does at its start. */
  const open = async (i: number): Promise<JobRunner> => {
    const metadata = stores[i] ?? expect.fail('no store');
    const runner = new JobRunner({ metadata, runtime: createRuntime(recordingLogger()), describeFailure: String });
    runner.register(ovens[i] ?? expect.fail('no oven'));
    runners.push(runner);
    await runner.open();
    return runner;
  };
  const both = () => [...runners, ...ovens] as unknown as [JobRunner, JobRunner, Oven, Oven];

  it('of one kind run one at a time: another one is refused, or waits until the first has ended', async () => {
    const [first, second, oven, other] = both();
    const { id } = await first.start({ kind: 'oven' }, admin);
    await expect.poll(() => second.get(id)).toMatchObject({ state: 'running' });
    await expect(second.start({ kind: 'oven' }, admin)).rejects.toMatchObject({
      code: 'CONFLICT',
      detail: { job: id },
    });
    // Callers that wait share one job, also those that come after an attempt.
    const waiting = [second.runAndWait({ kind: 'oven' }, admin), second.runAndWait({ kind: 'oven' }, admin)];
    await sleep(50);
    waiting.push(second.runAndWait({ kind: 'oven' }, admin));
    expect(other.runs).toHaveLength(0);
    oven.end();
    await expect.poll(() => other.runs.length).toBe(1);
    other.end();
    const ended = await Promise.all(waiting);
    expect(new Set(ended.map((job) => job.id))).toEqual(new Set([other.runs[0]?.id]));
    expect(ended[0]).toMatchObject({ state: 'succeeded' });
    expect(other.runs).toHaveLength(1);
    await expect.poll(() => second.get(id)).toMatchObject({ state: 'succeeded' });
  });

  it('are cancelled by the other one', async () => {
    const [first, second, oven] = both();
    const { id } = await first.start({ kind: 'oven' }, admin);
    await expect.poll(() => second.get(id)).toBeDefined();
    expect(await second.remove(id, admin)).toBe('cancelled');
    await expect.poll(() => first.get(id)).toMatchObject({ state: 'cancelled', cancelledBy: admin });
    await expect.poll(() => database.query("SELECT 1 FROM document WHERE kind = 'job-cancel'")).toEqual([]);
    expect(oven.runs[0]?.signal.aborted).toBe(true);
  });

  it('that ended by themselves leave no request to cancel them', async () => {
    const [first, second, oven] = both();
    const { id } = await first.start({ kind: 'oven' }, admin);
    oven.end();
    await expect.poll(() => second.get(id)).toMatchObject({ state: 'succeeded' });
    const late = { type: 'document.put', kind: 'job-cancel', id, value: admin } as const;
    await stores[1]?.apply([late], { durable: true });
    await expect.poll(() => database.query("SELECT 1 FROM document WHERE kind = 'job-cancel'")).toEqual([]);
    expect(await first.get(id)).toMatchObject({ state: 'succeeded' });
  });

  it('are continued by the other one when their process died, and not while it lives', async () => {
    const [first, second, oven, other] = both();
    const { id } = await first.start({ kind: 'oven' }, admin);
    await oven.runs[0]?.save({ baked: 3 });
    await expect.poll(() => second.get(id)).toBeDefined();
    // What a process does at its start, and from time to time.
    await second.close();
    await (await open(1)).close();
    expect(other.runs).toHaveLength(0);
    // It renews its lease no more.
    await stores[0]?.close();
    await endLeases();
    const successor = await open(1);
    expect(other.runs).toHaveLength(1);
    expect(other.runs[0]).toMatchObject({ id, saved: { baked: 3 } });
    other.end();
    await expect.poll(() => successor.get(id)).toMatchObject({ state: 'succeeded', resumes: 1 });
  });
});

describe('webhooks of two processes', () => {
  let sink: Sink;
  let books: WebhookBook[];
  beforeEach(async () => {
    sink = await startSink();
    books = [];
    for (const metadata of stores) {
      const book = await WebhookBook.open({
        declared: () => [webhookOf({ url: sink.url, format: 'cloudevents', events: ['repository'] })],
        metadata,
        runtime: createRuntime(recordingLogger()),
        describe: () => ({ publicUrl: undefined, prefix: '', instanceId: 'artifactapi-test' }),
        wait: (ms, signal) => sleep(Math.min(ms, 50), undefined, { signal }).catch(() => undefined),
      });
      await book.start();
      books.push(book);
    }
  });
  afterEach(async () => {
    for (const book of books) await book.close();
    await sink.close();
  });

  it('deliver each event once, also when the process that sends them ends', async () => {
    const write = (from: number, to: number) =>
      Promise.all(
        Array.from({ length: to - from }, (_, i) =>
          (stores[i % 2] ?? expect.fail('no store')).apply([repository(`r${from + i}`)], {
            durable: true,
            by: { actor: admin, at: Date.now() },
          }),
        ),
      );
    await write(0, 10);
    await sink.arrived(10);
    // An attempt whose answer was not stored is made again.
    await expect.poll(async () => (await books[0]?.get('ci'))?.status.pending).toBe(0);
    await books[0]?.close();
    await write(10, 20);
    await sink.arrived(20);
    await sleep(300);
    expect(sink.received).toHaveLength(20);
    expect(new Set(sink.received.map(({ text }) => text)).size).toBe(20);
  });

  it('that one creates, changes and deletes are those of the other', async () => {
    const [first, second] = books as [WebhookBook, WebhookBook];
    const config = webhookOf({ name: 'managed', url: sink.url });
    await first.create(config, admin);
    await stores[1]?.shared.refresh();
    await second.reload();
    expect((await second.get('managed'))?.config).toEqual(config);
    await first.delete('managed', admin);
    await stores[1]?.shared.refresh();
    await second.reload();
    expect(await second.get('managed')).toBeUndefined();
  });
});
