import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WebhookConfig } from '../../../src/protocol/settings/webhook-config.js';
import type { Delivery } from '../../../src/ports/operations/webhooks.js';
import { parseDigest } from '../../../src/protocol/digest.js';
import { parseTag } from '../../../src/protocol/names.js';
import { digest } from '../../support/content/content.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { ana, openScene, webhookOf, type StandingClock, type WebhookScene } from '../../support/webhooks/scene.js';
import { startSink, type Sink, type SinkAnswer } from '../../support/webhooks/sink.js';

const day = 86_400_000;
let folder: string;
let sink: Sink;
let scene: WebhookScene;

beforeEach(async () => {
  folder = await makeScratchFolder();
  sink = await startSink();
});
afterEach(async () => {
  await scene.close();
  await sink.close();
  await removeScratchFolder(folder);
});

async function start(settings: Partial<WebhookConfig> = {}, clock?: StandingClock): Promise<WebhookScene> {
  scene = await openScene(folder, [webhookOf({ url: sink.url, ...settings })], clock);
  await scene.book.start();
  return scene;
}

const settled = async (): Promise<boolean> => {
  const record = await scene.book.get('ci');
  return record?.status.pending === 0 && record.status.nextAttemptAt === undefined;
};
const tags = (): unknown[] => sink.events().map(({ target }) => target.tag);
const log = async (): Promise<readonly Delivery[]> => (await scene.book.deliveries('ci')) ?? [];

describe('a webhook', () => {
  it('gets the changes after its creation, one event for each tag, in order', async () => {
    const early = await openScene(folder, []);
    await early.push('before', 'v0');
    await early.close();
    await start();
    const digest = await scene.push('one', 'v1', 'latest');
    const untagged = await scene.push('two');
    await scene.change({ type: 'tag.delete', at: { repository: 'local', image: 'app' }, tag: parseTag('latest') });
    await scene.clock.runUntil(settled);
    const target = { repository: 'local/app', digest, mediaType: 'application/vnd.oci.image.manifest.v1+json' };
    const url = `http://registry.example:5000/v2/local/app/manifests/${digest}`;
    expect(sink.events().map(({ action, target: shown }) => [action, shown])).toEqual([
      ['push', { ...target, size: 3, length: 3, url, tag: 'v1' }],
      ['push', { ...target, size: 3, length: 3, url, tag: 'latest' }],
      ['push', { ...target, digest: untagged, size: 3, length: 3, url: url.replace(digest, untagged) }],
      ['delete', { repository: 'local/app', tag: 'latest', mediaType: '', digest: '', size: 0 }],
    ]);
    expect(sink.events()[0]).toMatchObject({
      actor: { name: 'ana' },
      request: {
        id: 'request-1',
        addr: '192.0.2.7',
        host: 'registry.example:5000',
        method: 'PUT',
        useragent: 'docker/27',
      },
      source: { instanceID: 'artifactapi-test' },
    });
    expect(
      (await log()).map(({ event, subject, state, attempts, status }) => [event, subject, state, attempts, status]),
    ).toEqual([
      ['tag.deleted', 'local/app:latest', 'delivered', 1, 204],
      ['manifest.pushed', `local/app@${untagged}`, 'delivered', 1, 204],
      ['tag.moved', 'local/app:latest', 'delivered', 1, 204],
      ['tag.moved', 'local/app:v1', 'delivered', 1, 204],
    ]);
  });

  it('describes pushed manifests, even those now in the trash, but not deleted or purged ones', async () => {
    await start();
    sink.script(500);
    const at = { repository: 'local', image: 'app' };
    const kept = await scene.push('kept', 'v1');
    const gone = await scene.push('gone', 'v2');
    const trashUntil = scene.clock.now + day;
    await scene.change({ type: 'manifest.delete', at, digest: kept, when: scene.clock.now, trashUntil });
    await scene.change({ type: 'manifest.delete', at, digest: gone, when: scene.clock.now });
    await scene.clock.runUntil(settled);
    const events = sink.events().filter(({ target }) => target['digest'] !== '');
    const shown = events.map(({ action, target: { mediaType, size, length, url } }) => [
      action,
      mediaType,
      size,
      length,
      url,
    ]);
    const url = `http://registry.example:5000/v2/local/app/manifests/`;
    const type = 'application/vnd.oci.image.manifest.v1+json';
    expect(shown.slice(1)).toEqual([
      ['push', type, 4, 4, url + kept],
      ['push', '', 0, undefined, url + gone],
      ['delete', '', 0, undefined, undefined],
      ['delete', '', 0, undefined, undefined],
    ]);
  });

  it('gets only what it subscribes to', async () => {
    await start({ events: ['delete'], names: ['local/app'] });
    const digest = await scene.push('one', 'v1');
    await scene.change({ type: 'manifest.delete', at: { repository: 'local', image: 'app' }, digest, when: 1 });
    await scene.clock.runUntil(settled);
    expect(sink.events().map(({ action, target }) => [action, target.tag ?? target['digest']])).toEqual([
      ['delete', 'v1'],
      ['delete', digest],
    ]);
  });

  it.each<[string, readonly SinkAnswer[], readonly number[]]>([
    ['500 and 503', [500, 503], [1000, 2000]],
    ['408 and 425', [408, 425], [1000, 2000]],
    ['429 with Retry-After in seconds', [{ status: 429, headers: { 'Retry-After': '90' } }], [90_000]],
    [
      '503 with a Retry-After that is shorter than the backoff',
      [500, 500, { status: 503, headers: { 'Retry-After': '1' } }],
      [1000, 2000, 4000],
    ],
    ['no answer, because the connection breaks', ['hang up', 'hang up'], [1000]],
    [
      'the same failure many times',
      Array<number>(12).fill(502),
      [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600].map((s) => s * 1000),
    ],
  ])('retries after %s, with the delays of the table', async (_title, answers, delays) => {
    await start();
    sink.script(...answers);
    const times: number[] = [];
    scene.runtime.events.on('webhook.attempted', () => times.push(scene.clock.now));
    await scene.push('one', 'v1');
    await scene.push('two', 'v2');
    await scene.clock.runUntil(settled);
    const own = times.slice(0, -1);
    expect(own.slice(1).map((time, i) => time - (own[i] ?? 0))).toEqual(delays);
    expect([...new Set(tags())]).toEqual(['v1', 'v2']);
    expect(new Set(sink.received.slice(0, -1).map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect((await log()).map(({ state }) => state)).toEqual(['delivered', 'delivered']);
    const { status } = (await scene.book.get('ci'))!;
    expect([status.failingSinceAt, status.lost, status.lastStatus]).toEqual([undefined, 0, 204]);
    expect(scene.log.map(({ message }) => message)).toEqual(['webhook is failing', 'webhook works again']);
  });

  it.each<[string, SinkAnswer, number]>([
    ['400', 400, 400],
    ['401', 401, 401],
    ['404', 404, 404],
    ['410', 410, 410],
    ['a redirect, which it does not follow', { status: 307, headers: { Location: '/elsewhere' } }, 307],
    ['a redirect without a Location', 302, 302],
    ['304', 304, 304],
  ])('continues with the next event after %s', async (_title, answer, status) => {
    await start();
    sink.script(answer);
    await scene.push('one', 'v1');
    await scene.push('two', 'v2');
    await scene.clock.runUntil(settled);
    expect(tags()).toEqual(['v1', 'v2']);
    expect(sink.received.map(({ url }) => url)).toEqual(['/hook', '/hook']);
    expect((await log()).map((one) => [one.state, one.status, one.attempts])).toEqual([
      ['delivered', 204, 1],
      ['refused', status, 1],
    ]);
  });

  it('retries when the receiver does not answer in time', async () => {
    await start({ timeoutSeconds: 1 });
    sink.script('wait');
    await scene.push('one', 'v1');
    await scene.clock.runUntil(settled);
    expect(scene.attempts.map(({ state, error }) => [state, error])).toEqual([
      ['retrying', 'no answer in time'],
      ['delivered', undefined],
    ]);
  });

  it('retries when nothing listens at the URL', async () => {
    const { url } = sink;
    await sink.close();
    await start({ url });
    await scene.push('one', 'v1');
    await scene.clock.runUntil(() => scene.attempts.length === 3);
    expect(scene.attempts.map(({ error }) => error)).toEqual(Array(3).fill('the connection was refused'));
    expect((await scene.book.get('ci'))?.status).toMatchObject({ pending: 1, lastError: 'the connection was refused' });
    sink = await startSink();
  });

  it('gives up on an event a day after it happened, and continues with the next', async () => {
    await start();
    sink.always(500);
    const startedAt = scene.clock.now;
    await scene.push('one', 'v1');
    await scene.clock.runUntil(async () => (await log()).some(({ state }) => state === 'lost'));
    expect(((await log())[0]?.attemptedAt ?? 0) - startedAt).toBe(day);
    expect((await scene.book.get('ci'))?.status).toMatchObject({ lost: 1, pending: 0 });
    sink.always(204);
    await scene.push('two', 'v2');
    await scene.clock.runUntil(settled);
    expect((await log()).map(({ state }) => state)).toEqual(['delivered', 'lost']);
    expect(scene.log.map(({ level, message }) => [level, message])).toEqual([
      ['warn', 'webhook is failing'],
      ['error', 'webhook event lost'],
      ['warn', 'webhook works again'],
    ]);
  });

  it('attempts an old event for at least ten minutes', async () => {
    await start();
    await scene.book.close();
    await scene.push('one', 'v1');
    scene.clock.now += 3 * day;
    const times: number[] = [];
    scene.runtime.events.on('webhook.attempted', () => times.push(scene.clock.now));
    sink.always(500);
    await scene.book.start();
    await scene.clock.runUntil(async () => (await log()).some(({ state }) => state === 'lost'));
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBe(600_000);
  });
});

describe('a webhook that is stopped and started again', () => {
  it('continues where it ended, with the delay of the event that it was retrying', async () => {
    await start();
    sink.script(204, 500, 500, 500);
    await scene.push('one', 'v1');
    await scene.push('two', 'v2');
    await scene.push('three', 'v3');
    await scene.clock.runUntil(() => scene.attempts.length === 4);
    const { clock } = scene;
    await scene.close();
    const stoppedAt = clock.now;
    await start({}, clock);
    await scene.clock.runUntil(settled);
    expect(tags()).toEqual(['v1', 'v2', 'v2', 'v2', 'v2', 'v3']);
    expect((await log()).map(({ attempts }) => attempts)).toEqual([1, 4, 1]);
    expect(clock.now - stoppedAt).toBeGreaterThanOrEqual(4000);
  });

  it('aborts an attempt without counting it', async () => {
    await start();
    sink.script('wait');
    await scene.push('one', 'v1');
    await scene.clock.runUntil(() => sink.received.length === 1);
    await scene.close();
    await start();
    await scene.clock.runUntil(settled);
    expect(tags()).toEqual(['v1', 'v1']);
    expect((await log()).map(({ attempts }) => attempts)).toEqual([1]);
  });

  it('gets the event journal.gap when the journal was trimmed in the meantime', async () => {
    await start();
    await scene.push('one', 'v1');
    await scene.clock.runUntil(settled);
    await scene.book.close();
    await scene.push('two', 'v2');
    await scene.push('three', 'v3');
    await scene.push('four', 'v4');
    expect(await scene.metadata.journal.trim({ before: 0, maxEntries: 2 })).toBe(false);
    await scene.book.start();
    await scene.clock.runUntil(settled);
    expect(sink.events().map(({ action, target }) => [action, target.tag])).toEqual([
      ['push', 'v1'],
      ['journal.gap', undefined],
      ['push', 'v4'],
    ]);
  });

  it('gets the event journal.gap when it has never got an event and the first ones were trimmed', async () => {
    await start();
    await scene.book.close();
    const { cursor } = (await scene.metadata.document('webhook-cursor', 'ci')) as { cursor: number };
    await scene.push('one', 'v1');
    await scene.push('two', 'v2');
    while (await scene.metadata.journal.trim({ before: 0, maxEntries: 1 }));
    const trimmed = await scene.metadata.journal.trimmedTo();
    await scene.book.start();
    await scene.clock.runUntil(settled);
    expect([cursor, sink.events().map(({ action, target }) => [action, target.tag])]).toEqual([
      0,
      [
        ['journal.gap', undefined],
        ['push', 'v2'],
      ],
    ]);
    expect((await log()).map(({ event, seq }) => [event, seq])).toEqual([
      ['tag.moved', trimmed + 1],
      ['journal.gap', trimmed],
    ]);
  });

  it('gets no journal.gap for the numbers of refused writes, even when older entries were trimmed', async () => {
    await start();
    await scene.push('one', 'v1');
    await scene.clock.runUntil(settled);
    const at = { repository: 'local', image: 'app' };
    const unknown = { name: parseTag('v2'), digest: parseDigest(digest('unknown')), updatedAt: 1 };
    await expect(
      scene.change({ type: 'tag.delete', at, tag: parseTag('v1') }, { type: 'tag.put', at, tag: unknown }),
    ).rejects.toThrow();
    await scene.push('three', 'v3');
    while (await scene.metadata.journal.trim({ before: 0, maxEntries: 3 }));
    const [next] = await scene.metadata.journal.read({ after: 0, limit: 1 });
    expect(next?.seq).toBeGreaterThan((await scene.metadata.journal.trimmedTo()) + 1);
    await scene.clock.runUntil(settled);
    expect(tags()).toEqual(['v1', 'v3']);
  });

  it('gets no journal.gap when it already has all trimmed events', async () => {
    await start();
    await scene.push('one', 'v1');
    await scene.push('two', 'v2');
    await scene.clock.runUntil(settled);
    await scene.metadata.journal.trim({ before: 0, maxEntries: 1 });
    await scene.push('three', 'v3');
    await scene.clock.runUntil(settled);
    expect(tags()).toEqual(['v1', 'v2', 'v3']);
  });

  it('loses its records when it is not declared any more', async () => {
    await start();
    await scene.push('one', 'v1');
    await scene.clock.runUntil(settled);
    await scene.close();
    scene = await openScene(folder, []);
    await scene.book.start();
    expect(await scene.metadata.documents('webhook-cursor')).toEqual([]);
    expect(await scene.metadata.documents('webhook-delivery')).toEqual([]);
  });
});

describe('the log', () => {
  it('keeps the last 200 deliveries', async () => {
    await start();
    for (let i = 0; i < 205; i++) await scene.push(`image ${i}`, `v${i}`);
    await scene.clock.runUntil(settled);
    expect((await log()).map(({ subject }) => subject)).toEqual(
      Array.from({ length: 200 }, (_, i) => `local/app:v${204 - i}`),
    );
  });

  it('sends an event again, with the same id', async () => {
    await start();
    sink.script(400);
    await scene.push('one', 'v1');
    await scene.clock.runUntil(settled);
    const [before] = await log();
    expect(await scene.book.resend('ci', before?.seq ?? 0)).toBe(true);
    await scene.clock.runUntil(async () => (await log())[0]?.attempts === 2);
    expect(await log()).toMatchObject([{ seq: before?.seq, state: 'delivered', attempts: 2, status: 204 }]);
    const [first, second] = sink.received;
    expect([second?.text, second?.headers['webhook-id']]).toEqual([first?.text, first?.headers['webhook-id']]);
  });

  it('retries at once the event that is waiting', async () => {
    await start();
    sink.script(500);
    await scene.push('one', 'v1');
    await scene.clock.runUntil(async () => (await log())[0]?.state === 'retrying');
    const before = scene.clock.now;
    expect(await scene.book.resend('ci', (await log())[0]?.seq ?? 0)).toBe(true);
    await sink.arrived(2);
    expect(scene.clock.now).toBe(before);
  });

  it('cannot send again events that the journal no longer has or never had', async () => {
    await start();
    await scene.push('one', 'v1');
    await scene.push('two', 'v2');
    await scene.clock.runUntil(settled);
    const seq = (await log())[1]?.seq ?? 0;
    await scene.metadata.journal.trim({ before: 0, maxEntries: 1 });
    await expect(scene.book.resend('ci', seq)).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(await scene.book.resend('ci', 9999)).toBe(false);
    expect(await scene.book.resend('none', seq)).toBe(false);
  });
});

describe('a managed webhook', () => {
  it('begins with its creation, attempts at once what a change of its settings may repair, and ends with its deletion', async () => {
    scene = await openScene(folder, []);
    await scene.book.start();
    await scene.push('before', 'v0');
    const config = webhookOf({ url: 'http://127.0.0.1:1/' });
    await scene.book.create(config, ana);
    await scene.push('one', 'v1');
    await scene.clock.runUntil(() => scene.attempts.length === 5);
    await scene.book.replace({ ...config, url: sink.url }, ana);
    await sink.arrived(1);
    expect(tags()).toEqual(['v1']);
    await scene.clock.runUntil(settled);
    expect(await scene.book.delete('ci', ana)).toBe(true);
    expect(await scene.metadata.documents('webhook-cursor')).toEqual([]);
    await scene.push('two', 'v2');
    const types = (await scene.metadata.journal.read({ after: 0, limit: 100 })).map(({ type }) => type);
    expect(types.filter((type) => type.startsWith('webhook'))).toEqual([
      'webhook.created',
      'webhook.replaced',
      'webhook.deleted',
    ]);
    expect(sink.received.length).toBe(1);
  });
});
