import { describe, expect, it } from 'vitest';
import { Problems } from '../../../src/operations/status/problems.js';
import { createStorageSources, type StorageProblemParts } from '../../../src/operations/status/storage-problems.js';
import { createWorkSources, type WorkProblemParts } from '../../../src/operations/status/work-problems.js';
import type { SpaceStatus } from '../../../src/ports/bytes.js';
import type { Job } from '../../../src/ports/operations/jobs.js';
import type { ProblemSource, RegistryProblem } from '../../../src/ports/operations/status.js';
import type { Upstream } from '../../../src/ports/upstream.js';
import type { WebhookRecord, WebhookStatus } from '../../../src/ports/operations/webhooks.js';
import { digestOf } from '../../../src/protocol/digest.js';
import { RegistryError } from '../../../src/protocol/errors.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { webhookOf } from '../../support/webhooks/scene.js';

const digest = digestOf(Buffer.from('x'));
const gibibyte = 1024 ** 3;

const fine: StorageProblemParts = {
  metadata: {
    status: () => ({ writable: true, reopens: 0 }),
    inventory: { storedBytes: async () => ({ bytes: 0, isComplete: true }) } as never,
  },
  blobs: storeWith({ freeBytes: 50 * gibibyte, totalBytes: 100 * gibibyte, reserveBytes: 0, isReserveComplete: true }),
  damage: { list: async () => [] },
  quarantine: { list: async () => ({ items: [], more: false }) },
  trashRoom: { lastEmptied: undefined },
  runtime: { now: () => 700_000_000 },
};

function storeWith(space: SpaceStatus | undefined, isFull = false): StorageProblemParts['blobs'] {
  const store: Partial<StorageProblemParts['blobs']> = {
    ...(space === undefined ? {} : { space: async () => space }),
    ensureRoom: async () => {
      if (isFull) throw new RegistryError('UNAVAILABLE', { status: 507, message: 'the disk is full' });
    },
  };
  return store as StorageProblemParts['blobs'];
}

const idle: WorkProblemParts = {
  jobs: { list: async () => [] },
  quotas: { list: async () => [] },
  holds: { isHeld: false },
  upstreams: () => [],
  webhooks: { list: async () => [] },
};

const webhook = (status: Partial<WebhookStatus>): WebhookRecord => ({
  config: webhookOf({ url: 'https://ci.example/hook' }),
  origin: 'managed',
  status: { cursor: 1, pending: 0, lost: 0, dropped: 0, ...status },
});

const job = (id: string, state: Job['state'], more: Partial<Job> = {}): Job => ({
  id,
  kind: id.split('-', 1)[0] ?? '',
  state,
  dryRun: false,
  params: {},
  by: { principal: 'root', via: 'basic' },
  startedAt: 5,
  finishedAt: 7,
  resumes: 0,
  ...more,
});

const upstream = (breaker: Partial<Upstream['breaker']>, more: Partial<Upstream> = {}) => ({
  repository: 'hub',
  upstream: {
    host: 'hub.example',
    breaker: { state: 'closed', failures: 0, ...breaker } as Upstream['breaker'],
    refusedCredentials: undefined,
    ...more,
  },
});

const quota = (usedBytes: number) => ({
  name: 'local',
  names: ['local/**'],
  maxBytes: 1000,
  origin: 'repository' as const,
  usedBytes,
});

async function findAll(sources: readonly ProblemSource[]): Promise<readonly RegistryProblem[]> {
  const problems = new Problems({ log: recordingLogger() });
  problems.add(...sources);
  return problems.list();
}

describe('the problems of the stores', () => {
  it('are none when everything works', async () => {
    expect(await findAll(createStorageSources(fine))).toEqual([]);
  });

  it('do not include trash that was emptied seven days ago', async () => {
    const trashRoom = { lastEmptied: { emptiedAt: 95_200_000, manifests: 3, bytes: 2048 } };
    expect(await findAll(createStorageSources({ ...fine, trashRoom }))).toEqual([]);
  });

  it.each<[string, Partial<StorageProblemParts>, object]>([
    [
      'an index that refuses writes',
      {
        metadata: {
          ...fine.metadata,
          status: () => ({ writable: false, reopens: 1, lastFailure: { message: 'EIO', at: 3, noSpace: false } }),
        },
      },
      { kind: 'index-failed', severity: 'error', sinceAt: 3 },
    ],
    [
      'a full disk',
      {
        blobs: storeWith(
          { freeBytes: 1024, totalBytes: 100 * gibibyte, reserveBytes: 0, isReserveComplete: true },
          true,
        ),
      },
      { kind: 'disk-full', severity: 'error', what: 'uploads are refused, the disk is full: 1 KiB are free' },
    ],
    [
      'a full store that does not report its space',
      { blobs: storeWith(undefined, true) },
      { kind: 'disk-full', what: 'uploads are refused, the disk is full' },
    ],
    [
      'a disk with less than 5 % free',
      {
        blobs: storeWith({
          freeBytes: 4 * gibibyte,
          totalBytes: 100 * gibibyte,
          reserveBytes: 0,
          isReserveComplete: true,
        }),
      },
      { kind: 'disk-low', severity: 'warning', what: 'the disk is low: 4 GiB of 100 GiB are free' },
    ],
    [
      'a disk with less than four reserves free',
      {
        blobs: storeWith({
          freeBytes: 20 * gibibyte,
          totalBytes: 100 * gibibyte,
          reserveBytes: 6 * gibibyte,
          isReserveComplete: true,
        }),
      },
      { kind: 'disk-low' },
    ],
    [
      'damaged blobs',
      {
        damage: {
          list: async () => [
            {
              digest,
              problem: 'digest',
              foundAt: 9,
              uses: [{ repository: 'local', image: 'app', tag: '1.2' as never }],
            },
            { digest, problem: 'missing', foundAt: 4, uses: [] },
          ],
        },
      },
      { kind: 'blobs-damaged', what: '2 blobs are damaged', where: 'local/app:1.2', sinceAt: 4 },
    ],
    [
      'a damaged blob that nothing uses',
      { damage: { list: async () => [{ digest, problem: 'size', foundAt: 9, uses: [] }] } },
      { kind: 'blobs-damaged', what: '1 blob is damaged', where: digest },
    ],
    [
      'orphans in quarantine',
      {
        quarantine: {
          list: async () => ({ items: [{ digest, size: 2048, quarantinedAt: 6, expiresAt: 100 }], more: true }),
        },
      },
      { kind: 'blobs-quarantined', severity: 'notice', sinceAt: 6, what: /^more than 1 blobs .*: 2 KiB$/ },
    ],
    [
      'trash that was emptied in the last seven days because the disk was full',
      { trashRoom: { lastEmptied: { emptiedAt: 95_200_001, manifests: 3, bytes: 2048 } } },
      { kind: 'trash-emptied', severity: 'warning', sinceAt: 95_200_001, what: /^3 deleted manifests .*: 2 KiB$/ },
    ],
    [
      'an index of an earlier release',
      {
        metadata: {
          ...fine.metadata,
          inventory: { storedBytes: async () => ({ bytes: 0, isComplete: false }) } as never,
        },
      },
      { kind: 'index-not-counted', severity: 'notice' },
    ],
  ])('include %s', async (_name, parts, expected) => {
    const found = await findAll(createStorageSources({ ...fine, ...parts }));
    expect(found).toHaveLength(1);
    expectProblem(found[0], expected);
  });
});

describe('the problems of work and limits', () => {
  it('are none when everything works', async () => {
    expect(await findAll(createWorkSources({ ...idle, upstreams: () => [upstream({})] }))).toEqual([]);
  });

  it.each<[string, Partial<WorkProblemParts>, object]>([
    [
      'a plan that waits',
      { jobs: { list: async () => [job('retention-1', 'waiting'), job('retention-0', 'succeeded')] } },
      { kind: 'job-waiting', where: 'retention-1', sinceAt: 7, advice: /jobs plan retention-1/ },
    ],
    [
      'a failed job',
      { jobs: { list: async () => [job('scrub-1', 'failed', { error: 'EIO' }), job('scrub-0', 'failed')] } },
      { kind: 'job-failed', severity: 'error', where: 'scrub-1', what: 'the last scrub job failed: EIO' },
    ],
    [
      'a job that found problems, although a dry run and a cancelled one came later',
      {
        jobs: {
          list: async () => [
            job('backup-3', 'cancelled'),
            job('backup-2', 'failed', { dryRun: true }),
            job('backup-1', 'partly'),
          ],
        },
      },
      { kind: 'job-partly', severity: 'warning', where: 'backup-1' },
    ],
    [
      'a failed sync, although another sync succeeded later',
      {
        jobs: {
          list: async () => [
            job('sync-2', 'succeeded', { params: { sync: 'b' } }),
            job('sync-1', 'failed', { params: { sync: 'a' } }),
          ],
        },
      },
      { kind: 'job-failed', where: 'sync-1' },
    ],
    [
      'a quota of which 80 % are used',
      { quotas: { list: async () => [quota(799), quota(800)].slice(1) } },
      { kind: 'quota-nearly-full', severity: 'warning', where: 'local', what: '800 bytes of 1000 bytes are used' },
    ],
    [
      'a quota that is used up',
      { quotas: { list: async () => [quota(1200)] } },
      { kind: 'quota-full', severity: 'error', what: /pushes are refused$/ },
    ],
    [
      'an open circuit breaker',
      { upstreams: () => [upstream({ state: 'open', failures: 5, lastFailure: 'it answered 500', openedAt: 4 })] },
      {
        kind: 'upstream-failing',
        where: 'hub',
        sinceAt: 4,
        what: 'requests to hub.example are paused: it answered 500',
      },
    ],
    [
      'an upstream that answered 429',
      { upstreams: () => [upstream({ state: 'open', failures: 0, isLimited: true, openedAt: 4 })] },
      { kind: 'upstream-limited', what: 'requests to hub.example are paused' },
    ],
    [
      'credentials that an upstream refuses',
      { upstreams: () => [upstream({}, { refusedCredentials: { reason: 'it answered 401', sinceAt: 2 } })] },
      { kind: 'credentials-refused', severity: 'error', where: 'hub', sinceAt: 2 },
    ],
    [
      'a webhook whose receiver answers with an error',
      { webhooks: { list: async () => [webhook({ failingSinceAt: 7, lastStatus: 503, pending: 3 })] } },
      {
        kind: 'webhook-failing',
        severity: 'warning',
        what: 'deliveries fail: the receiver answered 503; events that wait: 3',
        where: 'ci',
        sinceAt: 7,
      },
    ],
    [
      'a webhook whose receiver cannot be reached',
      { webhooks: { list: async () => [webhook({ failingSinceAt: 7, lastError: 'connection refused' })] } },
      { kind: 'webhook-failing', what: 'deliveries fail: connection refused; events that wait: 0' },
    ],
    [
      'a backup that keeps garbage',
      {
        holds: { isHeld: true },
        jobs: { list: async () => [job('backup-1', 'running', { finishedAt: undefined })] },
      },
      { kind: 'garbage-held', severity: 'notice', where: 'backup-1', sinceAt: 5 },
    ],
  ])('include %s', async (_name, parts, expected) => {
    const found = await findAll(createWorkSources({ ...idle, ...parts }));
    expect(found).toHaveLength(1);
    expectProblem(found[0], expected);
  });

  it.each<[string, Partial<WorkProblemParts>]>([
    [
      'a failure before a success',
      { jobs: { list: async () => [job('scrub-2', 'succeeded'), job('scrub-1', 'failed')] } },
    ],
    ['a running job', { jobs: { list: async () => [job('scrub-2', 'running')] } }],
    [
      'a webhook that works again',
      { webhooks: { list: async () => [webhook({ lastStatus: 204, lastAttemptAt: 9, lost: 1 })] } },
    ],
    ['a quota that is less than 80 % full', { quotas: { list: async () => [quota(799)] } }],
  ])('do not include %s', async (_name, parts) => {
    expect(await findAll(createWorkSources({ ...idle, ...parts }))).toEqual([]);
  });
});

describe('Problems', () => {
  const problem = (severity: RegistryProblem['severity']): RegistryProblem => ({
    kind: severity,
    severity,
    what: '',
    advice: '',
  });

  it('lists the most urgent problems first', async () => {
    const found = await findAll([
      { name: 'a', find: async () => [problem('notice'), problem('error')] },
      { name: 'b', find: async () => [problem('warning')] },
    ]);
    expect(found.map(({ severity }) => severity)).toEqual(['error', 'warning', 'notice']);
  });

  it('leaves out a source that fails, and logs the first of its failures in a row', async () => {
    const log = recordingLogger();
    const problems = new Problems({ log });
    let isBroken = true;
    problems.add(
      {
        name: 'broken',
        find: async () => {
          if (isBroken) throw new Error('no answer');
          return [];
        },
      },
      { name: 'other', find: async () => [problem('warning')] },
    );
    for (const broken of [true, true, false, true]) {
      isBroken = broken;
      expect(await problems.list()).toEqual([problem('warning')]);
    }
    expect(log.lines).toMatchObject([{ fields: { source: 'broken' } }, { fields: { source: 'broken' } }]);
  });
});

function expectProblem(found: RegistryProblem | undefined, expected: object): void {
  for (const [key, value] of Object.entries(expected)) {
    const actual = found?.[key as keyof RegistryProblem];
    if (value instanceof RegExp) expect(actual).toMatch(value);
    else expect(actual).toEqual(value);
  }
  expect(found?.advice).not.toBe('');
}
