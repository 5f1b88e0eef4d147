import { beforeEach, describe, expect, it } from 'vitest';
import { JobRunner } from '../../src/operations/jobs.js';
import type { Job, JobContext, JobKind, JobOutcome } from '../../src/ports/operations/jobs.js';
import type { Actor } from '../../src/ports/metadata/journal.js';
import type { Documents } from '../../src/ports/metadata/documents.js';
import type { Change, MetadataWriter, WriteOptions } from '../../src/ports/metadata/metadata.js';
import { RegistryError } from '../../src/protocol/errors.js';
import { problemsFound } from '../../src/protocol/tables/documents/encoding.js';
import { memoryDocuments } from '../support/storage/documents.js';
import { TestRuntime } from '../support/storage/domain.js';

const ana: Actor = { principal: 'ana', via: 'basic', address: '10.0.0.1' };
const bob: Actor = { principal: 'bob', via: 'basic' };

interface Params {
  readonly size: number;
}

/** A run that the test ends. */
interface Held {
  readonly context: JobContext<Params>;
  readonly end: (outcome: JobOutcome) => void;
  readonly fail: (error: unknown) => void;
}

/** A kind whose runs end when the test says so, or when they are aborted. */
class Oven implements JobKind<Params> {
  readonly kind: string;
  readonly isResumable: boolean;
  readonly runs: Held[] = [];
  heeds = true;

  constructor(kind: string, { isResumable = false } = {}) {
    this.kind = kind;
    this.isResumable = isResumable;
  }

  parse({ size = 1 }: Readonly<Record<string, unknown>>): Params {
    if (typeof size !== 'number') throw problemsFound([{ path: 'size', problem: 'must be a number' }]);
    return { size };
  }

  run(context: JobContext<Params>): Promise<JobOutcome> {
    return new Promise((end, fail) => {
      this.runs.push({ context, end, fail });
      context.signal.addEventListener('abort', () => this.heeds && fail(context.signal.reason));
    });
  }

  get last(): Held {
    const last = this.runs.at(-1);
    if (last === undefined) throw new Error('nothing ran');
    return last;
  }
}

/** Returns the RegistryError that a promise is rejected with. */
async function refusalOf(task: Promise<unknown>): Promise<RegistryError> {
  const error: unknown = await task.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error instanceof RegistryError) return error;
  throw new Error(`not a refusal: ${String(error)}`);
}

const done: JobOutcome = { state: 'succeeded', report: { baked: 3, finishedAt: 5 } };

let runtime: TestRuntime;
let metadata: Documents & MetadataWriter;
/** Whether the index refuses writes. */
let isBroken: boolean;
/** Writes wait for this. */
let held: Promise<void>;
let writes: { readonly changes: readonly Change[]; readonly options: WriteOptions }[];
let oven: Oven;
let kiln: Oven;
let runner: JobRunner;

/** A runner of a new process on the same records. */
async function restart(): Promise<void> {
  [oven, kiln] = [new Oven('oven'), new Oven('kiln', { isResumable: true })];
  runner = new JobRunner({ metadata, runtime, describeFailure: (cause) => `described: ${String(cause)}` });
  runner.register(oven);
  runner.register(kiln);
  await runner.open();
}

beforeEach(async () => {
  runtime = new TestRuntime(1000);
  const documents = memoryDocuments();
  writes = [];
  isBroken = false;
  held = Promise.resolve();
  metadata = {
    ...documents,
    apply: (changes, options) => {
      if (isBroken) return Promise.reject(new RegistryError('UNAVAILABLE'));
      writes.push({ changes, options });
      return held.then(() => documents.apply(changes, options));
    },
  };
  await restart();
});

/** Lets the runner go on after a run ended. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

const start = (kind = 'oven', params?: Record<string, unknown>): Promise<Job> =>
  runner.start({ kind, ...(params === undefined ? {} : { params }) }, ana);

describe('a job whose record is still being stored', () => {
  it.each([
    ['confirmed', 'waiting', async (id: string) => (await runner.confirm(id, bob))?.state, 'running'],
    ['followed by another', 'succeeded', async () => (await start()).state, 'running'],
    ['deleted', 'succeeded', (id: string) => runner.remove(id, bob), 'deleted'],
  ] as const)('can be %s as soon as callers see that it is %s', async (_what, state, act, expected) => {
    const { id } = await start();
    await settle();
    let release = (): void => undefined;
    held = new Promise((resolve) => (release = resolve));
    oven.last.end({ state, report: {} });
    await settle();
    expect((await runner.get(id))?.state).toBe(state);
    const acting = act(id);
    await settle();
    release();
    expect(await acting).toBe(expected);
  });
});

describe('a job', () => {
  it('runs with its parameters and leaves a record of who started it and what it did', async () => {
    const job = await runner.start({ kind: 'oven', params: { size: 7 }, dryRun: true }, ana);
    expect(job).toEqual({
      id: expect.stringMatching(/^oven-[0-9a-f]{12}$/) as string,
      kind: 'oven',
      state: 'running',
      dryRun: true,
      params: { size: 7 },
      by: ana,
      startedAt: 1000,
      resumes: 0,
    });
    await settle();
    const { context } = oven.last;
    expect(context).toMatchObject({ id: job.id, params: { size: 7 }, dryRun: true, isConfirmed: false });
    expect(context.by).toEqual({ ...ana, via: 'job' });
    runtime.advance(50);
    oven.last.end({ state: 'partly', report: { baked: 3 } });
    await settle();
    const record = { ...job, state: 'partly', report: { baked: 3 }, finishedAt: 1050 };
    expect(await runner.get(job.id)).toEqual(record);
    expect(await runner.list({ limit: 10 })).toEqual([record]);
  });

  it('is attributed when a person starts, cancels, confirms or deletes it, and at no other write', async () => {
    const job = await start();
    await settle();
    await oven.last.context.save({ cursor: 1 });
    oven.last.end({ state: 'waiting', report: {} });
    await settle();
    await runner.confirm(job.id, bob);
    await settle();
    await runner.remove(job.id, bob);
    await settle();
    await runner.remove(job.id, ana);
    const actors = writes.map(({ options }) => options.by?.actor.principal);
    expect(actors).toEqual(['ana', undefined, undefined, 'bob', 'bob', undefined, 'ana']);
    expect(writes.filter(({ options }) => options.by !== undefined).every(({ options }) => options.durable)).toBe(true);
  });

  it('reports progress and estimates its end from the rate of this run, without writes', async () => {
    const { id } = await start();
    await settle();
    const before = writes.length;
    const { progress } = oven.last.context;
    progress({ done: 100, total: 400, unit: 'blobs' });
    expect(await runner.get(id)).toMatchObject({ progress: { done: 100, total: 400, unit: 'blobs' } });
    expect((await runner.get(id))?.etaAt).toBeUndefined();
    runtime.advance(1000);
    progress({ done: 200, total: 400, unit: 'blobs' });
    expect((await runner.get(id))?.etaAt).toBe(runtime.now() + 2000);
    progress({ done: 500, total: 400, unit: 'blobs' });
    expect((await runner.get(id))?.etaAt).toBe(runtime.now());
    progress({ done: 500, unit: 'blobs' });
    expect((await runner.get(id))?.etaAt).toBeUndefined();
    expect(writes).toHaveLength(before);
    oven.last.end(done);
    await settle();
    expect(await runner.get(id)).toMatchObject({ state: 'succeeded', progress: { done: 500, unit: 'blobs' } });
  });

  it('has failed when it throws, with a description for those who read jobs and the error in the log', async () => {
    const { id } = await start();
    await settle();
    const error = new Error('/secret/path');
    oven.last.fail(error);
    await settle();
    expect(await runner.get(id)).toMatchObject({ state: 'failed', error: 'described: Error: /secret/path' });
    expect(runtime.log.lines).toContainEqual({
      level: 'error',
      fields: { err: error, job: id, kind: 'oven' },
      message: 'job failed',
    });
    expect((await start()).state).toBe('running');
  });

  it.each([
    ['an unknown kind', 'baking', {}, ['kind']],
    ['wrong parameters', 'oven', { size: 'big' }, ['size']],
  ])('is refused for %s, and leaves no record', async (_what, kind, params, paths) => {
    const refusal = await refusalOf(start(kind, params));
    expect(refusal.code).toBe('OPTIONS_INVALID');
    expect((refusal.details[0] as { path: string }[]).map(({ path }) => path)).toEqual(paths);
    expect(await runner.list({ limit: 10 })).toEqual([]);
  });

  it('that cannot be stored does not run, and its kind is free again', async () => {
    isBroken = true;
    expect((await refusalOf(start())).code).toBe('UNAVAILABLE');
    isBroken = false;
    expect(oven.runs).toEqual([]);
    await settle();
    expect((await start()).state).toBe('running');
  });

  it('whose end cannot be stored frees its kind', async () => {
    const { id } = await start();
    await settle();
    isBroken = true;
    oven.last.end(done);
    await settle();
    isBroken = false;
    expect(await runner.get(id)).toMatchObject({ state: 'failed' });
    expect((await start()).state).toBe('running');
  });
});

describe('jobs of one kind', () => {
  it('run one at a time: a second one conflicts and names the first, one of another kind runs', async () => {
    const { id } = await start();
    const refusal = await refusalOf(start());
    expect(refusal).toMatchObject({ code: 'CONFLICT', details: [{ job: id }] });
    expect((await start('kiln')).state).toBe('running');
    await settle();
    oven.last.end(done);
    await settle();
    expect((await start()).state).toBe('running');
  });

  it('that callers wait for run after the current one; callers with the same request share one', async () => {
    const [first, twin] = [runner.runAndWait({ kind: 'oven' }, ana), runner.runAndWait({ kind: 'oven' }, bob)];
    await settle();
    const [second, same] = [runner.runAndWait({ kind: 'oven' }, ana), runner.runAndWait({ kind: 'oven' }, bob)];
    const other = runner.runAndWait({ kind: 'oven', params: { size: 2 } }, bob);
    await settle();
    expect(oven.runs).toHaveLength(1);
    oven.last.end(done);
    expect(await first).toMatchObject({ state: 'succeeded', report: done.report });
    expect((await twin).id).toBe((await first).id);
    await settle();
    expect(oven.runs).toHaveLength(2);
    oven.last.end(done);
    expect((await second).id).toBe((await same).id);
    await settle();
    expect(oven.runs).toHaveLength(3);
    oven.last.fail(new Error('burnt'));
    await expect(other).rejects.toThrow('burnt');
  });

  it('keep the last 20 records', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 23; i++) {
      runtime.advance(1);
      ids.push((await start()).id);
      await settle();
      oven.last.end(done);
      await settle();
    }
    const kept = await runner.list({ kind: 'oven', limit: 1000 });
    expect(kept.map(({ id }) => id)).toEqual(ids.toReversed().slice(0, 20));
    expect(await runner.list({ kind: 'kiln', limit: 1000 })).toEqual([]);
    expect((await runner.list({ limit: 3 })).map(({ id }) => id)).toEqual(ids.toReversed().slice(0, 3));
  });
});

describe('cancelling a job', () => {
  it('aborts it and keeps its record, which a second DELETE removes', async () => {
    const { id } = await start();
    await settle();
    oven.heeds = false;
    expect(await runner.remove(id, bob)).toBe('cancelled');
    expect(oven.last.context.signal.aborted).toBe(true);
    expect(await runner.get(id)).toMatchObject({ state: 'running', cancelledBy: bob });
    oven.last.end({ state: 'cancelled', report: { baked: 1 } });
    await settle();
    expect(await runner.get(id)).toMatchObject({ state: 'cancelled', report: { baked: 1 }, cancelledBy: bob });
    expect(await runner.remove(id, bob)).toBe('deleted');
    expect(await runner.remove(id, bob)).toBeUndefined();
    expect(await runner.get(id)).toBeUndefined();
  });

  it('that throws on the signal is cancelled, not failed', async () => {
    const { id } = await start();
    await settle();
    await runner.remove(id, bob);
    await settle();
    expect(await runner.get(id)).toMatchObject({ state: 'cancelled' });
    expect(runtime.log.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('that finished despite the cancellation has succeeded', async () => {
    const { id } = await start();
    await settle();
    oven.heeds = false;
    await runner.remove(id, bob);
    oven.last.end(done);
    await settle();
    expect(await runner.get(id)).toMatchObject({ state: 'succeeded', cancelledBy: bob });
  });
});

describe('a job that waits for a confirmation', () => {
  async function plan(): Promise<string> {
    const { id } = await start();
    await settle();
    await oven.last.context.save({ plan: ['a', 'b'] });
    runtime.advance(1);
    oven.last.end({ state: 'waiting', report: { planned: 2 } });
    await settle();
    return id;
  }

  it('runs again with its saved plan, as the same job', async () => {
    const id = await plan();
    expect(await runner.get(id)).toMatchObject({ state: 'waiting', report: { planned: 2 } });
    await restart();
    expect(await runner.confirm(id, bob)).toMatchObject({ id, state: 'running', by: ana, confirmedBy: bob });
    await settle();
    expect(oven.last.context).toMatchObject({ id, isConfirmed: true, saved: { plan: ['a', 'b'] } });
    oven.last.end(done);
    await settle();
    expect(await runner.get(id)).toMatchObject({ state: 'succeeded', report: { baked: 3 } });
  });

  it('does not prevent a new one, whose plan replaces it', async () => {
    const first = await plan();
    const second = await plan();
    expect(await runner.get(first)).toMatchObject({ state: 'cancelled' });
    expect(await runner.get(second)).toMatchObject({ state: 'waiting' });
  });

  it('can be cancelled', async () => {
    const id = await plan();
    expect(await runner.remove(id, bob)).toBe('cancelled');
    expect(await runner.get(id)).toMatchObject({ state: 'cancelled', cancelledBy: bob });
  });

  it('is the only one that can be confirmed, once, while no other of its kind runs', async () => {
    expect(await runner.confirm('oven-0', bob)).toBeUndefined();
    const { id: running } = await start('kiln');
    expect((await refusalOf(runner.confirm(running, bob))).code).toBe('CONFLICT');
    const id = await plan();
    const { id: other } = await start();
    expect(await refusalOf(runner.confirm(id, bob))).toMatchObject({ code: 'CONFLICT', details: [{ job: other }] });
    await settle();
    oven.last.end(done);
    await settle();
    const twice = await Promise.allSettled([runner.confirm(id, bob), runner.confirm(id, ana)]);
    expect(twice.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  });
});

describe('when the process ends', () => {
  it('a resumable job continues with the state that it saved, and another kind has failed', async () => {
    const [{ id }, lost] = [await start('kiln', { size: 4 }), await start('oven')];
    await settle();
    kiln.last.context.progress({ done: 5, total: 10, unit: 'pots' });
    await kiln.last.context.save({ cursor: 'e' });
    await restart();
    await settle();
    expect(kiln.last.context).toMatchObject({ id, params: { size: 4 }, saved: { cursor: 'e' } });
    expect(await runner.get(id)).toMatchObject({ state: 'running', resumes: 1, progress: { done: 5, total: 10 } });
    const ended = { state: 'failed', error: 'the process ended before the job did' };
    expect(await runner.get(lost.id)).toMatchObject(ended);
    expect(await metadata.document('job', lost.id)).toMatchObject(ended);
    expect(oven.runs).toEqual([]);
  });

  it('a job that never saves its state is not resumed forever', async () => {
    const { id } = await start('kiln');
    for (let i = 0; i < 3; i++) await restart();
    expect(await runner.get(id)).toMatchObject({ state: 'running', resumes: 3 });
    await settle();
    await kiln.last.context.save({ cursor: 1 });
    for (let i = 0; i < 3; i++) await restart();
    expect(await runner.get(id)).toMatchObject({ state: 'running', resumes: 3 });
    await restart();
    expect(await runner.get(id)).toMatchObject({ state: 'failed' });
  });

  it('a cancelled job stays cancelled', async () => {
    const { id } = await start('kiln');
    await settle();
    kiln.heeds = false;
    await runner.remove(id, bob);
    await restart();
    expect(await runner.get(id)).toMatchObject({ state: 'cancelled' });
  });

  it('a job whose parameters are not valid any more has failed', async () => {
    const { id } = await start('kiln');
    const job = (await metadata.document('job', id)) as object;
    const value = { ...job, params: { size: 'big' } };
    await metadata.apply([{ type: 'document.put', kind: 'job', id, value }], { durable: false });
    await restart();
    expect(await runner.get(id)).toMatchObject({ state: 'failed' });
    expect((await start('kiln')).state).toBe('running');
  });
});

describe('closing', () => {
  it('aborts jobs, waits for them, and starts no more', async () => {
    const { id } = await start();
    const kept = await start('kiln');
    const queued = refusalOf(runner.runAndWait({ kind: 'oven' }, ana));
    await settle();
    oven.heeds = false;
    let isClosed = false;
    const closing = runner.close().then(() => (isClosed = true));
    await settle();
    expect(isClosed).toBe(false);
    expect(oven.last.context.signal.aborted).toBe(true);
    oven.last.end({ state: 'cancelled', report: { baked: 1 } });
    await closing;
    expect((await queued).code).toBe('UNAVAILABLE');
    expect((await refusalOf(start())).code).toBe('UNAVAILABLE');
    expect(await metadata.document('job', id)).toMatchObject({ state: 'failed', report: { baked: 1 } });
    expect(await metadata.document('job', kept.id)).toMatchObject({ state: 'running' });
    await restart();
    expect(await runner.get(kept.id)).toMatchObject({ state: 'running', resumes: 1 });
  });
});
